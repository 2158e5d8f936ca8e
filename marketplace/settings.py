"""What the space must be told. Environment prefix ``HEXI_SPACE_``."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from hexi.settings import ServiceSettings
from marketplace import certificates, orders, quality, settlement
from marketplace.errors import SplitInvalid

# The made-up owner of the reference's test vectors: it fails the check digit, so that it can never be a real company.
EXAMPLE_OWNER = "91620000000000000X"


class SpaceSettings(ServiceSettings):
    """Settings of a space: one process with registry, ledger, marketplace and the neutral adder."""

    model_config = SettingsConfigDict(env_prefix="HEXI_SPACE_", extra="ignore", frozen=True)

    home: Path = Path(".hexi-space")
    # The operator, as it stands in the registry.
    name: str = "Hexi Space"
    name_zh: str = "河西可信数据空间"
    owner_code: str = Field(EXAMPLE_OWNER, pattern=r"^[0-9A-Z]{18}$")
    region: str = Field("6210", pattern=r"^\d{4}$")
    # The log's name on its checkpoints; empty means the host of the public address.
    log_origin: str = ""
    # An EVM node's URL; empty means a chain in this process, which forgets at exit and is filled again on start.
    chain_url: str = ""
    # Seconds between two looks for what the chain does not have yet.
    chain_seconds: float = Field(5.0, gt=0)
    # Fetch participants' DID documents over http and from private addresses. Only for a space on one machine.
    insecure_http_did_web: bool = False
    # Fetch participants' DID documents from private addresses, over https. Only for a space inside one network:
    # elsewhere every applicant could make this process call services that trust its address.
    unsafe_allow_private_did_hosts: bool = False
    # Refuse applicants whose unified social credit code fails the GB 32100 check. Switch it on for real organisations.
    strict_owner_codes: bool = False
    # Certificate numbers: region and institution of the registrar, and whether it really is an accredited one.
    registrar_region: str = Field("62", pattern=r"^\d{2}$")
    registrar_institution: str = Field("1", pattern=r"^\d$")
    registrar_accredited: bool = False
    certificate_years: int = Field(3, ge=1, le=certificates.MAX_YEARS)
    order_days: int = Field(orders.ORDER_DAYS, ge=1)
    # Basis points of every payment, by who gets them; they make 10000.
    split: Mapping[str, int] = settlement.DEFAULT_SPLIT
    # Percent of each quality dimension; they make 100.
    quality_weights: Mapping[str, int] = quality.DEFAULT_WEIGHTS

    @field_validator("split")
    @classmethod
    def _whole(cls, split: Mapping[str, int]) -> Mapping[str, int]:
        try:
            settlement.check_split(split)
        except SplitInvalid as error:
            raise ValueError(error.detail) from error
        return split

    @field_validator("quality_weights")
    @classmethod
    def _hundred(cls, weights: Mapping[str, int]) -> Mapping[str, int]:
        if sum(weights.values()) != 100 or min(weights.values()) < 0:
            raise ValueError("the weights must make 100, none of them negative")
        return weights
