"""The seven steps of the story: each does its part of the road, says what happened, and keeps the papers."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

from examples.longyizhen import cast, report
from examples.longyizhen.cube import tell_cube
from examples.longyizhen.processes import run_hexi
from examples.longyizhen.programs import tell_program
from examples.longyizhen.report import Papers, yuan
from examples.longyizhen.scenario import Road, StepFailed, shares
from examples.longyizhen.story import Story
from sandbox.messages import RunAnswer


class Telling:
    """One telling of the story over a `Road`."""

    def __init__(self, road: Road, story: Story, folder: Path) -> None:
        self.road = road
        self.story = story
        self.folder = folder
        self.papers = Papers(folder)
        self.documents: list[Path] = []
        self.summary: list[tuple[str, str]] = []
        self.audits: dict[str, dict[str, Any]] = {}

    def tell(self) -> None:
        """All seven steps. Raises `StepFailed` or a `DataspaceError` where the road ends early."""
        self.story.title("Longyizhen: three hospitals, one planner, nobody's data leaves", "陇易诊：数据可用不可见")
        self.members()
        self.products()
        self.contracts()
        self.queries()
        self.total()
        self.money()
        self.audit()
        self.story.summary(self.summary)
        self.papers.keep("summary", dict(self.summary), "\n".join(f"{a}: {b}" for a, b in self.summary))

    def members(self) -> None:
        """Step 1."""
        self.story.step(1, "The space opens, members join", "开设空间，参与方入驻")
        self.road.open_space()
        self.story.fact(f"space with registry, ledger, market at {self.road.space.url}, chain in process")
        for node in self.road.nodes.values():
            identifier = self.road.join(node)
            self.story.fact(f"{node.member.name} {node.member.name_zh}: {node.did}, identifier {identifier}")

    def products(self) -> None:
        """Step 2."""
        self.story.step(2, "Products, rights, listings", "产品登记、确权、挂牌")
        for node, table in zip(self.road.hospitals, shares(self.road.folder), strict=True):
            self.road.publish(node, table)
            key = node.member.key
            document = self.road.registry.product(self.road.products[key].identifier).document
            certificate, listing = self.road.certificates[key], self.road.listings[key]
            self.papers.keep(
                f"certificates/{key}", certificate.certificate, report.certificate_text(certificate.certificate)
            )
            if node is self.road.hospitals[0]:
                self.road.publish(node, table, cast.cube_of(node.member), cast.CUBE)
            self.story.fact(
                f"{node.member.name}: {document['rows']} rows of {document['entities']} persons, certificate "
                f"{certificate.number}, listed at {yuan(listing.unit_price_fen)} a run"
            )

    def contracts(self) -> None:
        """Step 3."""
        self.story.step(3, "Search, negotiate, order, get permits", "检索、协商签约、下单、取得许可")
        found = self.road.planner.client.catalogue("门诊 outpatient")
        self.story.fact(f"the planner searches “门诊 outpatient”: {found.total} products")
        for hospital in self.road.hospitals:
            agreement = self.road.negotiate(hospital)
            for format_, runs in cast.RUNS_ORDERED.items():
                self.road.order(hospital, agreement, format_, runs)
                self.road.open_transfer(hospital, agreement, format_)
            signed = self.road.agreements[hospital.member.key].agreement
            self.documents.append(
                self.papers.keep(f"agreements/{hospital.member.key}", signed, report.agreement_text(signed))
            )
            self.story.fact(
                f"{hospital.member.name}: {agreement} signed by both, {sum(cast.RUNS_ORDERED.values())} runs ordered"
            )

    def queries(self) -> None:
        """Step 4."""
        self.story.step(4, "Questions in each hospital's sandbox", "沙箱查询：可用不可见")
        released = 0
        for hospital in self.road.hospitals:
            answer = self.road.ask(hospital, cast.QUESTION)
            if answer.verdict != "released":
                raise StepFailed(f"{hospital.member.name} refused the planner's question: {answer.reasons}")
            self._keep_answer(f"{hospital.member.key}-visits", answer)
            released += len(answer.rows)
            isolation = answer.receipt["document"]["isolation"]
            self.story.fact(
                f"{hospital.member.name}: {len(answer.rows)} of {cast.CELLS} cells released, the others hold fewer "
                f"than 10 persons or would give such a cell away; isolation level {isolation['level']} measured"
            )
            if hospital is self.road.hospitals[0]:
                self.story.table("its first cells 前几格", answer.columns, answer.rows[:4])
        self._refusals()
        answer = tell_cube(self.road, self.story, self.papers)
        self._keep_receipt(cast.CUBE, answer.receipt)
        program = tell_program(self.road, self.story, self.papers)
        self._keep_receipt("program", program.receipt or {})
        self.summary.append(("Asked 所问", "visits by age of plan, co-insurance and health, at three hospitals"))
        self.summary.append(
            ("Released 放行", f"{released} cells of 10 persons or more, counts rounded to 5; no row left")
        )
        self.summary.append(
            ("Refused 拒绝", "one person's visits, a search for loners, a file of the hospital's machine")
        )
        self.summary.append(("Reviewed 审核", "two programs: one released by a person of the hospital, one rejected"))

    def _refusals(self) -> None:
        hospital = self.road.hospitals[0]
        for name, query in (("person", cast.SINGLING_OUT), ("loners", cast.LONERS), ("file", cast.A_FILE)):
            answer = self.road.ask(hospital, query)
            if answer.verdict != "refused":
                raise StepFailed(f"this should have been refused: {query}")
            self._keep_answer(f"refused-{name}", answer)
            reason = answer.reasons[0]
            self.story.refusal(f"{query}\n      [dim]{reason.code}: {reason.message}[/dim]")

    def total(self) -> None:
        """Step 5."""
        self.story.step(5, "One total under homomorphic encryption", "同态加密求和")
        answer = self.road.encrypted_sum(cast.SUM_QUESTION)
        if answer.total is None:
            raise StepFailed(f"the encrypted sum came to nothing: {answer.refused}")
        self.papers.keep("answers/encrypted-sum", answer.to_json(), f"total: {answer.total}")
        for index, receipt in enumerate(answer.receipts, start=1):
            self._keep_receipt(f"encrypted-sum-{index}", receipt)
        self.story.fact(f"visits of persons in fair or poor health over all three: [bold]{answer.total}[/bold]")
        self.story.fact("the adder held no key, the planner saw no single number, no hospital saw another's")
        self.summary.append(("Encrypted sum 密文和", f"{answer.total} visits, rounded to 5, from three contributions"))

    def money(self) -> None:
        """Step 6."""
        self.story.step(6, "Receipts to the ledger, the bill, the split", "存证、计量、清分")
        self.road.await_evidence()
        statement = self.road.market(self.road.planner).state().to_json()
        said = statement["document"]
        operator = self.road.market()
        settlement = operator.settle(said["id"]).to_json()
        accounts = operator.accounts()
        if sum(accounts.values()):
            raise StepFailed(f"the books do not balance: {accounts}")
        self.papers.keep("statement", {"statement": statement, "settlement": settlement, "accounts": accounts},
                         report.statement_text(statement, accounts))  # fmt: skip
        for line in said["lines"]:
            self.story.fact(f"{line['provider']}: {line['runs']} runs, {yuan(line['amountFen'])}")
        self.story.fact(
            f"total {yuan(said['totalFen'])}, split between providers, platform and fund; the books balance"
        )
        anchor = self.road.ledger.anchor()
        self.story.fact(f"checkpoint of {anchor.size} entries anchored on the chain")
        self.summary.append(
            ("Cost 费用", f"{yuan(said['totalFen'])} for {sum(line['runs'] for line in said['lines'])} runs")
        )

    def audit(self) -> None:
        """Step 7."""
        self.story.step(7, "The auditor, who trusts nobody", "审计")
        bundle = self.folder / "bundle"
        written = run_hexi(
            ["space", "bundle", str(bundle), *[f"--document={path}" for path in self.documents]],
            {"HEXI_SPACE_HOME": str(self.road.space_home), "HEXI_SPACE_PUBLIC_URL": self.road.space.url},
        )
        if written.returncode:
            raise StepFailed(f"hexi space bundle: {written.stderr.strip()}")
        exported = run_hexi(["ledger", "export", str(self.folder / "log"), "--ledger", self.road.space.url])
        if exported.returncode:
            raise StepFailed(f"hexi ledger export: {exported.stderr.strip()}")
        chain = f"{self.road.space.url}/ledger/chain"
        found = self._verify("with the bundle and the chain 连链核验", bundle, "--chain", chain)
        self._expect(found, ok=True)
        self.story.fact(f"bundle and chain verified: {len(found['checks'])} checks hold")
        self._tamper(bundle)

    def _tamper(self, bundle: Path) -> None:
        forged = self.folder / "work" / "tampered-bundle"
        shutil.copytree(bundle, forged)
        victim = sorted((forged / "documents" / "run-receipt").glob("*.json"))[0]
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(bytes(content))
        found = self._verify("after one byte of a run receipt was changed 篡改一字节后", forged)
        self._expect(found, ok=False)
        bad = next(check for check in found["checks"] if not check["ok"])
        self.story.refusal(f"one byte changed: {bad['name']} {bad['file']}: {bad['detail']}")
        self.summary.append(
            ("Proved 已证明", "every agreement, run, certificate and statement; a changed byte was named")
        )

    def _verify(self, title: str, bundle: Path, *options: str) -> dict[str, Any]:
        done = run_hexi(["ledger", "verify", str(bundle), "--json", *options])
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            raise StepFailed(f"hexi ledger verify said nothing readable: {done.stderr.strip()}") from error
        self.audits[title] = found
        self.papers.keep("audit-report", self.audits, report.audit_text(self.audits))
        return found

    def _expect(self, found: dict[str, Any], *, ok: bool) -> None:
        if all(check["ok"] for check in found["checks"]) is not ok:
            raise StepFailed(f"the auditor found something else: {[c for c in found['checks'] if not c['ok']]}")

    def after_closing(self) -> None:
        """Once no service runs any more: the bundle still holds."""
        self._expect(self._verify("offline, with no service running 离线核验", self.folder / "bundle"), ok=True)
        self.story.fact("verified once more with every service stopped")
        self.story.console.print(f"\n  Results 结果: {self.folder}\n  hexi ledger verify {self.folder}/bundle")

    def serve(self) -> None:
        """Leave everything running until somebody interrupts."""
        self.story.console.print("\n  Still running; Ctrl-C stops everything 服务运行中")
        self.story.fact(f"space {self.road.space.url}, home {self.road.space_home}")
        for node in self.road.nodes.values():
            self.story.fact(f"{node.member.name} {node.service.url}, home {node.home}")
        try:
            signal.pause()
        except KeyboardInterrupt:
            self.story.fact("stopping")

    def _keep_answer(self, name: str, answer: RunAnswer) -> None:
        kept = answer.to_json()
        self.papers.keep(f"answers/{name}", kept, report.answer_text(kept))
        self._keep_receipt(name, answer.receipt)

    def _keep_receipt(self, name: str, receipt: dict[str, Any]) -> None:
        lines = [f"{key}: {value}" for key, value in receipt["document"].items() if isinstance(value, str | int)]
        self.documents.append(
            self.papers.keep(f"receipts/{name}", receipt, "\n".join(["运行凭证  RUN RECEIPT", *lines]))
        )
