"""The gateway is asked to drain, and waited for as long as somebody is served, but not for ever."""

import pathlib

from services.launcher import draining
from tests.fakes import admin_page


def _page(folder: pathlib.Path, *active: str) -> admin_page.AdminPage:
    """Tells the numbers one after the other, and the last for ever."""
    left = list(active)

    def answer(line: str) -> tuple[int, str]:
        return 200, (left.pop(0) if len(left) > 1 else left[0]) if line.startswith("GET") else "OK"

    return admin_page.AdminPage(folder, answer)


def test_it_waits_until_nobody_is_served(tmp_path: pathlib.Path) -> None:
    page = _page(tmp_path, *(f"http.data.downstream_rq_active: {n}\n" for n in (2, 1, 0)))
    assert draining.drain(page.path, timeout=30, poll=0.001) == 0
    assert page.asked[0] == "POST /drain_listeners?graceful" and len(page.asked) == 4
    page.close()


def test_it_does_not_wait_for_ever(tmp_path: pathlib.Path) -> None:
    page = _page(tmp_path, "http.data.downstream_rq_active: 3\n")
    assert draining.drain(page.path, timeout=0.05, poll=0.001) == 3
    page.close()


def test_a_gateway_without_a_data_listener_or_without_life_has_nothing_to_finish(tmp_path: pathlib.Path) -> None:
    page = _page(tmp_path, "")
    assert draining.drain(page.path, timeout=30) == 0
    page.close()
    assert draining.drain(page.path, timeout=30) == 0
