"""What a registry must be told."""

from pydantic_settings import SettingsConfigDict

from hexi.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    """Settings of a registry that runs by itself (``HEXI_REGISTRY_*``); a whole space has its own that repeat these."""

    model_config = SettingsConfigDict(env_prefix="HEXI_REGISTRY_", extra="ignore", frozen=True)

    # The organisation that runs the space. The owner code of the default is made up and fails the GB 32100 check.
    name: str = "Hexi demonstration space"
    name_zh: str = "河西示范可信数据空间"
    owner_code: str = "91620000000000000X"
    region: str = "6210"
    # Refuse applicants whose unified social credit code fails the GB 32100 check. Switch it on for real organisations.
    strict_owner_codes: bool = False
    # Fetch DID documents over http from loopback and from private addresses. Only for a space on one machine.
    insecure_http_did_web: bool = False
    # Fetch DID documents from private addresses, over https. Only for a space inside one network: elsewhere every
    # applicant could make this process call services that trust its address.
    unsafe_allow_private_did_hosts: bool = False
