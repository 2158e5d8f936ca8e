"""The lanes: each answers one kind of question; `chosen` says which one a request takes (`sandbox.lane`)."""
