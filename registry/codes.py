"""The code lists of the national catalogue draft (N06), each member with its Chinese and English label."""

from enum import StrEnum
from typing import Self


class Labelled(StrEnum):
    """A code list whose members carry a Chinese and an English label."""

    zh: str
    en: str

    def __new__(cls, value: str, zh: str = "", en: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.zh, member.en = zh, en
        return member


class SourceType(Labelled):
    """资源来源: how the provider came to the data."""

    ORIGINAL = "001", "原始取得", "produced by the provider"
    COLLECTED = "002", "收集取得", "collected"
    TRADED = "003", "交易取得", "bought"
    OTHER = "004", "其他", "other"


class DeliveryForm(Labelled):
    """产品交付形式: in what form the product reaches the consumer."""

    DATASET = "001", "数据集", "data set"
    API = "002", "API产品", "API"
    APPLICATION = "003", "数据应用", "data application"
    REPORT = "004", "数据报告", "data report"
    OBJECT = "005", "数据对象", "data object"
    OTHER = "006", "其他", "other"


class UpdateFrequency(Labelled):
    """更新频率: how often the data are renewed."""

    REALTIME = "001", "实时", "real time"
    DAILY = "002", "日", "daily"
    WEEKLY = "003", "周", "weekly"
    MONTHLY = "004", "月", "monthly"
    QUARTERLY = "005", "季", "quarterly"
    HALF_YEARLY = "006", "半年", "every half year"
    YEARLY = "007", "年", "yearly"
    IRREGULAR = "008", "不定期", "irregular"
    HISTORICAL = "009", "历史存量", "historical, complete"


class QualityLevel(Labelled):
    """质量等级: the overall mark of the quality report."""

    A = "001", "A级", "A"
    B = "002", "B级", "B"
    C = "003", "C级", "C"
    D = "004", "D级", "D"


class SecurityLevel(Labelled):
    """安全等级. The last two are the vocabulary of state secrets and have no place in a data space."""

    PUBLIC = "001", "公开", "public"
    INTERNAL = "002", "内部", "internal"
    SENSITIVE = "003", "敏感", "sensitive"
    CONFIDENTIAL = "004", "机密", "confidential"
    TOP_SECRET = "005", "绝密", "top secret"


REFUSED_SECURITY_LEVELS = frozenset({SecurityLevel.CONFIDENTIAL, SecurityLevel.TOP_SECRET})


class Theme(Labelled):
    """主题: the themes the draft names; a product may use a finer code below one of them."""

    BASE = "A0000", "基础资源", "base resources"
    POPULATION = "A0100", "人口", "population"
    LEGAL_PERSONS = "A0200", "法人", "legal persons"
    GEOGRAPHY = "A0300", "自然资源地理", "natural resources and geography"
    ECONOMY = "A0400", "宏观经济", "macroeconomy"
    SCIENCE = "A0500", "科教", "science and education"
    INDUSTRY = "B0000", "行业", "industries"
    AGRICULTURE = "B0100", "农业", "agriculture"
    FINANCE = "B0500", "金融保险", "finance and insurance"
    LIVELIHOOD = "C0000", "民生", "people's livelihood"
    EDUCATION = "C0100", "教育文化", "education and culture"
    ENVIRONMENT = "C0500", "生态环境", "environment"
    GOVERNMENT = "D0000", "政务", "government affairs"
    APPROVAL = "D0100", "审批", "approvals"
    EMERGENCY = "D0500", "应急", "emergencies"


class Scenario(Labelled):
    """应用场景: the scenarios the draft names; a product may use a finer code below one of them."""

    GOVERNANCE = "S0000", "政府治理", "governance"
    SERVICES = "T0000", "民生服务", "public services"
    DEVELOPMENT = "U0000", "产业发展", "industrial development"
    SAFETY = "V0000", "安全应急", "safety and emergencies"


class Right(Labelled):
    """数据产权: what the provider holds; vocabulary `RIGHTS_VOCABULARY`."""

    HOLDING = "holding", "数据持有权", "right to hold"
    PROCESSING_USE = "processing-use", "数据加工使用权", "right to process and use"
    PRODUCT_OPERATION = "product-operation", "数据产品经营权", "right to operate the product"


class Mode(Labelled):
    """How the data may be used: computed on where they are, or delivered under an agreement."""

    SANDBOX_SQL = "sandbox-sql", "沙箱SQL", "SQL in the sandbox"
    SANDBOX_PROGRAM = "sandbox-program", "沙箱程序", "programs in the sandbox"
    ENCRYPTED_SUM = "encrypted-sum", "密文求和", "encrypted sum"
    FILE = "file", "文件交付", "delivered as a file"
    API = "api", "接口调用", "calls to the provider's API"
    STREAM = "stream", "数据流", "stream of events"
    TABLE = "table", "表格交付", "delivered as a table"


# The modes in which data leave the provider.
DELIVERED = frozenset({Mode.FILE, Mode.API, Mode.STREAM, Mode.TABLE})
# The modes that are about tables, which the product then has to describe.
TABULAR = frozenset({Mode.SANDBOX_SQL, Mode.SANDBOX_PROGRAM, Mode.ENCRYPTED_SUM, Mode.TABLE})


class Grade(Labelled):
    """数据分级 (GB/T 43697-2024)."""

    CORE = "core", "核心数据", "core data"
    IMPORTANT = "important", "重要数据", "important data"
    GENERAL = "general", "一般数据", "general data"


CODE_LISTS: tuple[type[Labelled], ...] = (
    SourceType,
    DeliveryForm,
    UpdateFrequency,
    QualityLevel,
    SecurityLevel,
    Theme,
    Scenario,
    Right,
    Mode,
    Grade,
)


def label_of(code_list: type[Labelled], code: str) -> dict[str, str] | None:
    """The label of `code`, or of the nearest broader code of a hierarchical list (C0312 -> C0300 -> C0000), or None."""
    for candidate in (code, code[:3] + "00", code[:1] + "0000"):
        if candidate in code_list.__members__.values():
            member = code_list(candidate)
            return {"zh": member.zh, "en": member.en}
    return None
