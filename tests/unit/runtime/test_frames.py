import random

from runtime.shim import frames


def test_frames_survive_any_cut() -> None:
    rng = random.Random(7)
    sent = [
        (rng.randrange(1, 40), n, rng.randbytes(rng.randrange(50)), rng.randbytes(rng.choice([0, 3, 70_000])))
        for n in range(60)
    ]
    stream = b"".join(frames.pack(kind, number, head, body) for kind, number, head, body in sent)
    for largest in (1 << 20, 70_000, 1000):
        decoder = frames.Decoder()
        found, at = [], 0
        while at < len(stream):
            step = rng.randrange(1, largest)
            found += decoder.feed(stream[at : at + step])
            at += step
        assert found == sent
        assert decoder.missing == frames.HEADER_SIZE


def test_missing_tells_how_much_to_read() -> None:
    decoder = frames.Decoder()
    whole = frames.pack(frames.REQUEST, 1, b"head", b"x" * 1000)
    decoder.feed(whole[:5])
    assert decoder.missing == frames.HEADER_SIZE - 5
    decoder.feed(whole[5:100])
    assert decoder.missing == len(whole) - 100
    assert decoder.feed(whole[100:]) == [(frames.REQUEST, 1, b"head", b"x" * 1000)]


def test_response_heads_round_trip() -> None:
    head = frames.response_head(201, frames.HELD, 2**40, ["text/plain", "", "cgrün", "x-a", "b"])
    assert frames.parse_response_head(head) == (
        201, frames.HELD, 0xFFFFFFFF, [b"text/plain", b"", "cgrün".encode(), b"x-a", b"b"],
    )  # fmt: skip
