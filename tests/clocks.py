"""A clock for tests: however busy this machine is, time passes only as they say."""


class Clock:
    """Seconds that stand still until a test moves them."""

    def __init__(self, seconds=1000.0):
        self.seconds = seconds

    def __call__(self):
        return self.seconds

    def go_on(self, seconds):
        """Let time pass."""
        self.seconds += seconds
