"""`cortex run`: one project served from its folder, by the platform's own programs and without the platform."""
