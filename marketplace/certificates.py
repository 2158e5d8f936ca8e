"""Rights certificates: their numbers, terms and documents. Pure.

A number has 15 characters: ``SJ``, the registrar's region (2), the institution (1), year and month (6), a serial within
the month (4). Only an accredited registrar's numbers are real ones; a certificate of any other says ``simulated``.
Source: the national rules for data property rights registration (R1, 国家数据局 2026).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hexi.canonical import Json, instant
from marketplace.errors import NumbersExhausted, TermInvalid

TYPE = "rights-certificate"
VOCABULARY = "data-twenty-2022"
NUMBER = re.compile(r"^SJ\d{2}\d20\d{2}(0[1-9]|1[0-2])\d{4}$", re.ASCII)
# Serials run from 0001 to this within a month.
MAX_SERIAL = 9999
# The longest term of a certificate, in years (R1); it may be renewed, by a new one.
MAX_YEARS = 5
# The right without which a product may be used but not sold (经营权: to provide it to others, paid or free).
SELLING = "product-operation"
# Both rights of the "dual-rights" certificate (双权属): to process and use, and to operate the product.
DUAL_RIGHTS = frozenset({"processing-use", SELLING})


@dataclass(frozen=True)
class Registrar:
    """Who certifies. An institution that is not accredited simulates, and every certificate says so."""

    did: str
    name: str
    name_zh: str
    region: str
    institution: str
    accredited: bool


def month(moment: datetime) -> str:
    """The month that a serial counts in: ``202611``."""
    return f"{moment.year:04d}{moment.month:02d}"


def number(registrar: Registrar, month: str, serial: int) -> str:
    """The certificate number. Raises `NumbersExhausted` beyond the 9999th of a month."""
    if not 1 <= serial <= MAX_SERIAL:
        raise NumbersExhausted(f"the {MAX_SERIAL} certificate numbers of {month} are used; wait for the next month")
    return f"SJ{registrar.region}{registrar.institution}{month}{serial:04d}"


def term(start: datetime, years: int) -> tuple[str, str]:
    """From and until. Raises `TermInvalid` for more than `MAX_YEARS` years."""
    if not 1 <= years <= MAX_YEARS:
        raise TermInvalid(f"a certificate is for 1 to {MAX_YEARS} years")
    # The 29th of February ends on the 28th.
    day = 28 if (start.month, start.day) == (2, 29) else start.day
    return instant(start), instant(start.replace(year=start.year + years, day=day))


def document(
    *,
    number: str,
    registrar: Registrar,
    product: Json,
    product_digest: str,
    holder: Mapping[str, str],
    valid: tuple[str, str],
    compliance_report: str,
    quality_grade: str,
) -> Json:
    """The certificate document the registrar signs."""
    rights: Sequence[str] = sorted(product["rights"])
    return {
        "type": TYPE,
        "parties": [registrar.did],
        "number": number,
        "product": product["identifier"],
        "version": product["version"],
        "productDigest": product_digest,
        "title": {"zh": product["title"]["zh"], "en": product["title"]["en"]},
        "holder": dict(holder),
        "rights": list(rights),
        "vocabulary": VOCABULARY,
        "dualRights": set(rights) >= DUAL_RIGHTS,
        "validFrom": valid[0],
        "validUntil": valid[1],
        "registrar": {
            "did": registrar.did,
            "name": registrar.name,
            "nameZh": registrar.name_zh,
            "region": registrar.region,
            "institution": registrar.institution,
        },
        "simulated": not registrar.accredited,
        "complianceReport": compliance_report,
        "qualityGrade": quality_grade,
    }
