"""What the management API is asked and answers about streams; see `management.answers` for everything else."""

from pydantic import ConfigDict, Field

from connector.management.answers import Answer
from connector.streams.appended import MAX_APPENDED, NewEvent
from hexi.canonical import Wire


class AppendEvents(Wire):
    """Events in their order. One with a `key` that the stream has had is not appended again. 追加事件。"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"events": [{"data": {"ward": "7", "beds": 3}, "kind": "admitted", "key": "visit-7"}]}]
        }
    )

    events: list[NewEvent] = Field(min_length=1, max_length=MAX_APPENDED)


class AppendedEvents(Answer):
    """Where the events stand now, and how many of them are new."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"examples": [{"stream": "beds", "positions": [42], "new": 1}]}
    )

    stream: str
    positions: tuple[int, ...] = Field(description="The id each event has for its readers, in the order asked.")
    new: int


class Stream(Answer):
    """What a stream holds. 数据流。"""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"examples": [{"stream": "beds", "forgotten": 0, "newest": 42}]}
    )

    stream: str
    forgotten: int = Field(description="Events up to this id are no longer kept.")
    newest: int = Field(description="The id of the newest event; 0 where there was none yet.")
