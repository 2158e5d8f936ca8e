"""The engines that compute inside the sandbox: imported by the worker alone, and they alone import an engine."""
