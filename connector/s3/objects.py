"""One object in S3-compatible storage: read in ranges, written whole or in parts.

The calls and nothing more: who decides what to send where is `connector.planes`, and reading as a source is
`connector.sources`. What the other end says is believed only where it must be: a body travels with its signed digest
and its MD5, and an answered tag that is an MD5 is compared.
Source: Amazon S3 API Reference (GetObject, PutObject, CreateMultipartUpload, UploadPart, ListParts,
CompleteMultipartUpload, AbortMultipartUpload).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from connector.s3 import answers
from connector.s3.answers import ObjectFacts, Part
from connector.s3.errors import StorageRefused, StorageUnreachable
from connector.s3.location import Location
from connector.s3.signing import Credentials, query_string, sign
from hexi.canonical import Clock

# How long storage may take to connect, and to be silent, in seconds. Putting many parts together can take a while.
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
# The most we read of an answer that is not the object, in bytes: a thousand parts of some 200 bytes are a page.
MAX_ANSWER_BYTES = 1024 * 1024
# What storage calls the client's fault and a broken connection can be the cause of (S3 API Reference, error codes).
_AGAIN = frozenset({"RequestTimeout", "IncompleteBody", "OperationAborted"})


@dataclass(frozen=True)
class _Answer:
    headers: httpx.Headers
    content: bytes


class StoredObject:
    """The object at `location`, as whoever holds `credentials` may use it.

    Every method raises `StorageRefused` if storage says no, and `StorageUnreachable` if it says nothing.
    """

    def __init__(
        self, location: Location, credentials: Credentials, clock: Clock, transport: httpx.BaseTransport
    ) -> None:
        self.location = location
        self._credentials = credentials
        self._clock = clock
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False)

    def facts(self) -> ObjectFacts:
        """Size and tag, without reading it."""
        headers = self._call("HEAD").headers
        length = headers.get("content-length", "")
        if not length.isdigit():
            raise StorageRefused(f"storage does not say how large {self._name} is")
        return ObjectFacts(int(length), headers.get("etag", ""))

    def read(self, start: int, end: int, etag: str = "") -> Iterator[bytes]:
        """The bytes from `start` up to but without `end`; with `etag`, only while the object is still that one."""
        left = end - start
        if left <= 0:
            return
        headers = {"range": f"bytes={start}-{end - 1}", **({"if-match": etag} if etag else {})}
        with self._asked("GET", headers, {}, b"") as answer:
            if answer.status_code == 200 and start > 0:
                raise StorageRefused(f"storage does not give parts of {self._name}")
            for chunk in answer.iter_raw():
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    return
        raise StorageUnreachable(f"storage ended {self._name} {left} bytes too early")

    def put(self, content: bytes) -> None:
        """Write it whole."""
        self._call("PUT", body=content, headers={"content-md5": answers.content_md5(content)})

    def begin(self) -> str:
        """Begin an upload in parts; returns its id."""
        return answers.upload_id(self._call("POST", {"uploads": ""}).content)

    def put_part(self, upload: str, number: int, content: bytes) -> Part:
        """Write part `number`, counted from 1; written again it replaces the first."""
        query = {"partNumber": str(number), "uploadId": upload}
        headers = {"content-md5": answers.content_md5(content)}
        part = Part(number, len(content), self._call("PUT", query, body=content, headers=headers).headers["etag"])
        if part.tells and not part.holds(content):
            raise StorageRefused(f"storage holds another part {number} of {self._name} than was sent")
        return part

    def parts(self, upload: str) -> dict[int, Part]:
        """The parts that storage holds of an upload, by number."""
        found: dict[int, Part] = {}
        marker: int | None = 0
        while marker is not None:
            query = {"uploadId": upload, **({"part-number-marker": str(marker)} if marker else {})}
            page = answers.page_of_parts(self._call("GET", query).content)
            found |= {part.number: part for part in page.parts}
            if page.following is not None and page.following <= marker:
                raise StorageRefused("storage lists the parts of the upload without an end")
            marker = page.following
        return found

    def complete(self, upload: str, parts: list[Part]) -> None:
        """Make one object of `parts`."""
        answers.check_completed(self._call("POST", {"uploadId": upload}, body=answers.parts_list(parts)).content)

    def abort(self, upload: str) -> None:
        """Give up an upload and what storage holds of it."""
        self._call("DELETE", {"uploadId": upload})

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def _name(self) -> str:
        return f"{self.location.bucket}/{self.location.key}"

    def _call(
        self,
        method: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        with self._asked(method, headers or {}, query or {}, body) as answer:
            return _Answer(answer.headers, _limited(answer))

    @contextmanager
    def _asked(
        self, method: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes
    ) -> Iterator[httpx.Response]:
        """The answer to one request, still to be read, if it is a success."""
        url = self.location.url + (f"?{query_string(query)}" if query else "")
        signed = sign(method, url, headers, body, self._credentials, self.location.region, self._clock())
        try:
            with self._http.stream(method, url, headers=signed, content=body) as answer:
                if not answer.is_success:
                    raise self._refusal(answer.status_code, answers.error_code(_limited(answer)))
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StorageUnreachable(f"storage does not answer for {self._name} ({type(error).__name__})") from error

    def _refusal(self, status: int, code: str) -> StorageRefused | StorageUnreachable:
        said = f"storage answered {' '.join(filter(None, (str(status), code)))} for {self._name}"
        refused = StorageUnreachable if status >= 500 or status == 429 or code in _AGAIN else StorageRefused
        return refused(said, storageStatus=status, storageCode=code)


def _limited(answer: httpx.Response) -> bytes:
    content = bytearray()
    for chunk in answer.iter_raw():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise StorageRefused(f"storage answered more than {MAX_ANSWER_BYTES} bytes where it had little to say")
    return bytes(content)
