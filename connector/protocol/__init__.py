"""The Dataspace Protocol 2025-1: messages, state machines, and the engine that moves them."""
