"""What the management API answers about deliveries; see `connector.management.answers` for everything else."""

from pydantic import ConfigDict, Field

from connector.deliveries.store import JobState, Way
from connector.management.answers import INSTANT, TRANSFER, Answer
from connector.protocol.transfer import State as TransferState


class Delivery(Answer):
    """A delivery to this connector. 收到的数据。"""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "transfer": TRANSFER,
                    "way": "pull",
                    "state": "DONE",
                    "transferState": "COMPLETED",
                    "underWay": False,
                    "bytes": 1048576,
                    "size": 1048576,
                    "bytesPerSecond": None,
                    "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "path": "/srv/planner/received/0c2f5b1e-6a3d-4d0c-9f7e-000000000003/data.csv",
                    "attempts": 1,
                    "error": None,
                    "reason": [],
                    "updated": INSTANT,
                }
            ]
        },
    )

    transfer: str
    way: Way = Field(description="pull: fetched from here; push: sent by the provider.")
    state: JobState = Field(description="WAITING until everything is here and checked; DONE; FAILED, see error.")
    transfer_state: TransferState
    under_way: bool = Field(description="Whether a process of ours works on it now.")
    bytes: int = Field(description="How many bytes are here. 已收字节。")
    size: int | None = Field(description="How many it will be, once the provider has said so.")
    bytes_per_second: float | None = Field(description="Of the present attempt, where it runs in this process.")
    digest: str | None = Field(description="SHA-256 of the whole, as announced; as found, once DONE. 摘要。")
    path: str = Field(description="Where it lies, or will lie; until then NAME.part.")
    attempts: int
    error: str | None = Field(description="What stopped the last attempt.")
    reason: tuple[str, ...] = Field(description="Why the transfer was suspended or terminated.")
    updated: str

    @property
    def is_over(self) -> bool:
        """Whether it is here, has failed, or will never come. (A pusher may say that it is done a moment too early.)"""
        ended = self.transfer_state is TransferState.TERMINATED or (
            self.transfer_state is TransferState.COMPLETED and self.way is Way.PULL and not self.under_way
        )
        return self.state is not JobState.WAITING or ended


class DataAccess(Answer):
    """Where the data of a transfer are fetched, and what is shown there. 数据访问地址。"""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "transfer": TRANSFER,
                    "providerTransfer": "urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000004",
                    "format": "ServerSentEvents-PULL",
                    "endpoint": "https://clinic.example/data/urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000004/events",
                    "endpointType": "https://w3id.org/idsa/v4.1/HTTP",
                    "authorization": "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl",
                }
            ]
        },
    )

    transfer: str
    provider_transfer: str = Field(description="The transfer's id at its provider; tickets for tables name it.")
    format: str
    endpoint: str
    endpoint_type: str | None
    authorization: str = Field(
        description="For the header Authorization. Whoever has it reads the data, for some minutes. 访问令牌。",
        repr=False,
    )
