"""Who takes part: three invented hospitals in the east of Gansu, a city's planner, and what the hospitals offer.

The owner codes fail the national check digit on purpose, so that they can never be a real organisation's.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from examples.longyizhen.data import TABLE

PURPOSE = "urn:hexi:purpose:health-service-planning"

# The planner's question: visits by age of plan, co-insurance and health status.
QUESTION = (
    "SELECT plan_year, coinsurance, health, count(DISTINCT person_id) AS persons, sum(visits) AS visits, "
    "avg(visits) AS mean_visits FROM visits GROUP BY plan_year, coinsurance, health"
)
# What nobody may ask: one person's visits, who is alone in a group, a file of the hospital's machine.
SINGLING_OUT = "SELECT sum(visits) AS visits FROM visits WHERE person_id = 'LYZ-0000000000'"
LONERS = "SELECT coinsurance, count(*) AS n FROM visits GROUP BY coinsurance HAVING count(*) = 1"
A_FILE = "SELECT count(*) AS n FROM read_csv('/etc/passwd')"
# The total that is added up under encryption.
SUM_QUESTION = "SELECT sum(visits) AS visits FROM visits WHERE health IN ('fair', 'poor')"

# A program for the first hospital, and who of the hospital lets its results out.
REVIEWER = "wang.li"
PROGRAM = """# hexi: seconds=8
import hexi_outputs
import numpy as np

visits = hexi_outputs.table("visits")
persons = visits.groupby(["person_id", "coinsurance"]).agg(visits=("visits", "mean")).reset_index()
shown = persons.groupby("coinsurance").agg(n=("person_id", "nunique"), visits=("visits", "mean")).reset_index()
columns = {"coinsurance": "dimension", "n": "count", "visits": "number"}
hexi_outputs.release_table("by_share", shown, columns)

x = np.column_stack([np.ones(len(persons)), persons["coinsurance"].astype(float)])
y = persons["visits"].astype(float).to_numpy()
slope, left, *_ = np.linalg.lstsq(x, y, rcond=None)
errors = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * left[0] / (len(y) - 2))
terms = {name: (slope[i], errors[i]) for i, name in enumerate(["Intercept", "coinsurance"])}
hexi_outputs.release_model("price", family="linear", outcome="visits", n=persons["person_id"].nunique(), terms=terms)
"""
PICKING = """# hexi: seconds=8
import hexi_outputs
visits = hexi_outputs.table("visits")
most = visits.groupby("person_id")["visits"].sum().max()
hexi_outputs.release_table("mean_visits", [{"n": 1500, "visits": float(most)}], {"n": "count", "visits": "number"})
"""

# Runs ordered at each hospital, by transfer format.
RUNS_ORDERED = {"HexiSandbox-SQL": 4, "HexiSandbox-EncryptedSum": 1}


@dataclass(frozen=True)
class Member:
    """A participant as it applies."""

    key: str
    name: str
    name_zh: str
    owner_code: str
    region: str
    roles: tuple[str, ...]
    price_fen: int = 0

    def application(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "name": self.name,
            "nameZh": self.name_zh,
            "ownerCode": self.owner_code,
            "region": self.region,
            "roles": list(self.roles),
            "contact": f"data@{self.key}.example",
        }


HOSPITALS = (
    Member("hospital-1", "Dingxi Example Hospital", "定西示例医院", "91621100000000001X", "6211", ("provider",), 3_800),
    Member(
        "hospital-2", "Tongwei Example Hospital", "通渭示例医院", "91621100000000002X", "6211", ("provider",), 4_200
    ),
    Member(
        "hospital-3", "Huining Example Hospital", "会宁示例医院", "91620400000000003X", "6204", ("provider",), 3_999
    ),
)
PLANNER = Member("planner", "Longyizhen City Planning", "陇易诊城市规划处", "91620100000000004X", "6201", ("consumer",))


def _text(zh: str, en: str) -> dict[str, str]:
    return {"zh": zh, "en": en}


def _column(name: str, zh: str, en: str, datatype: str, role: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "title": _text(zh, en), "datatype": datatype, "role": role, **more}


COLUMNS = [
    _column("person_id", "人员编号", "Person number", "string", "entity-key"),
    _column("plan_year", "参保年次", "Age of the plan, in years", "integer", "dimension", domain=[1, 2, 3, 4, 5]),
    _column(
        "coinsurance", "自付比例", "Co-insurance rate", "integer", "dimension", domain=[0, 25, 50, 95, 100], unit="%"
    ),
    _column("plan", "免赔方式", "Deductible plan", "string", "dimension", domain=["family", "individual"]),
    _column(
        "health", "自评健康", "Self-rated health", "string", "dimension", domain=["excellent", "good", "fair", "poor"]
    ),
    _column("limitation", "身体活动受限", "Physical limitation", "string", "dimension", domain=["no", "yes"]),
    _column("chronic_diseases", "慢性病指数", "Chronic disease index", "number", "measure", range=[0, 60]),
    _column("visits", "门诊次数", "Outpatient visits in the year", "integer", "measure", range=[0, 80], unit="visits"),
]

# How many groups the planner's question can have at most, missing values aside.
CELLS = prod(len(column["domain"]) for column in COLUMNS if column["name"] in ("plan_year", "coinsurance", "health"))

POLICY: dict[str, list[dict[str, Any]]] = {
    "permission": [
        {
            "action": "use",
            "constraint": [
                {"leftOperand": "purpose", "operator": "eq", "rightOperand": PURPOSE},
                {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"},
                {"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2036-01-01T00:00:00Z"},
            ],
            "duty": [{"action": "compensate"}],
        }
    ],
    "prohibition": [{"action": "distribute"}],
}


# How many cells the planner may ever ask one hospital for: its question, missing values included, twice.
QUERY_SETS = 400


def product_of(hospital: Member, analyst: str) -> dict[str, Any]:
    """What a hospital opens to one analyst, named by its DID: SQL and sums up to a cap, programs that people look at.

    Rows, persons and quality are counted by its connector.
    """
    modes = ["sandbox-sql", "encrypted-sum", "sandbox-program"]
    return {**_described(hospital), "modes": modes, "controlled": _controlled(analyst)}


def _controlled(analyst: str) -> dict[str, Any]:
    return {
        "type": "controlled-policy",
        "analysts": [{"group": "city planning", "members": [analyst]}],
        "querySets": QUERY_SETS,
        # Numbers leave at once, held to the rules; programs are looked at whatever stands here.
        "airlock": False,
        "literals": [f"{TABLE}.health"],
    }


def _described(hospital: Member) -> dict[str, Any]:
    return {
        "title": _text(f"{hospital.name_zh}门诊次数", f"Outpatient visits, {hospital.name}"),
        "description": _text(
            "按参保年次、自付比例和健康状况统计的门诊次数；数据来自公开的兰德医疗保险实验，机构与人员编号为虚构。",
            "Outpatient visits by age of plan, co-insurance and health. Public data of the RAND health insurance "
            "experiment; the organisation and the person numbers are invented.",
        ),
        "keywords": ["门诊", "医保", "outpatient", "insurance"],
        "theme": "C0200",
        "scenario": "T0100",
        "industry": "0084",
        "region": hospital.region,
        "deliveryForm": "005",
        "updateFrequency": "009",
        "securityLevel": "003",
        "qualityLevel": "001",
        "sourceType": "001",
        "hasPersonalInformation": True,
        "classification": {"grade": "general", "level": 3, "scheme": "GB/T 43697-2024"},
        "temporal": {"start": "1974-11-01", "end": "1982-01-31"},
        "tables": [
            {
                "name": TABLE,
                "title": _text("门诊年度记录", "Visits a person-year"),
                "entityKey": "person_id",
                "columns": COLUMNS,
            }
        ],
        "rights": ["holding", "processing-use", "product-operation"],
        "evidence": {
            "source": "statsmodels randhie, public domain; person numbers synthetic",
            "authorisation": "public domain",
            "personalInformationAssessment": "person numbers are synthetic; no direct identifiers; sandbox use only",
            "disputes": "none",
            "prohibitedContentScan": "passed: numbers and code lists only",
            "crossBorder": "forbidden",
            "businessQualification": "example",
        },
        "disclosure": {"minimumEntities": 10, "rounding": 5, "minimumIsolation": 2, "maximumRows": 5000},
        "policy": POLICY,
    }


# What the first hospital offers to everybody: a planned, noisy cube of its persons, which may be asked for ever. A row
# is a person there, with all of its years. 1,965 persons are declared with two figures.
CUBE = "hospital-1-cube"
LATTICE: dict[str, Any] = {
    "type": "lattice-policy",
    "entity": "person_id",
    "size": 2_000,
    "together": 2,
    "mincell": 150,
    "attributes": [
        {
            "name": "share",
            "column": "coinsurance",
            "levels": [
                {"name": "pays", "labels": ["nothing", "a share"], "of": [0, 1, 1, 1, 1]},
                {"name": "coinsurance", "labels": ["0", "25", "50", "95", "100"]},
            ],
        },
        {
            "name": "state",
            "column": "health",
            "levels": [
                {"name": "condition", "labels": ["well", "ill"], "of": [0, 0, 1, 1]},
                {"name": "health", "labels": ["excellent", "good", "fair", "poor"]},
            ],
        },
    ],
    # One person in seventeen went more often in all these years; a wider range would be more noise for everybody.
    "measures": [{"name": "visits", "family": "use", "range": [0, 30]}],
    # Standard: whoever does not know the others' secrets gains at most 5 points over guessing a bit.
    "families": [{"name": "use", "mu": 0.33}],
}
# Does free care mean more visits? And the same, cut finer than the cube releases.
CUBE_QUESTION = "SELECT pays, count(*) AS persons, avg(visits) AS visits FROM visits GROUP BY pays"
TOO_FINE = "SELECT coinsurance, health, avg(visits) AS visits FROM visits GROUP BY coinsurance, health"


def cube_of(hospital: Member) -> dict[str, Any]:
    """The product that a hospital answers from a published cube."""
    title = _text(f"{hospital.name_zh}门诊次数立方体", f"Outpatient visits as a cube, {hospital.name}")
    return {
        **_described(hospital),
        "title": title,
        "keywords": ["立方体", "cube"],
        # A program, or an encrypted sum of the table, would pass by what the cube promises.
        "modes": ["sandbox-sql"],
        "lattice": LATTICE,
    }
