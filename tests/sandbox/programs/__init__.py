"""Programs: their text, environment, inputs and outputs."""
