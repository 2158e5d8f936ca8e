"""The connector's routes: `dsp` for other participants, `management` for its own people."""
