"""What every answer of one kind must look like."""

import hashlib
import re

from support.raw import fetch

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def check_error(answer, status, code=None):
    """An error: the status, the JSON of three members, the same request id in header and body."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert set(body) == {"message", "code", "request_id"}, body
    assert all(isinstance(value, str) and value for value in body.values()), body
    assert body["request_id"] == answer.headers["X-Request-Id"]
    if code is not None:
        assert body["code"] == code, body
    return body


def check_stored(answer, content, bucket, key):
    """An upload that worked: what it says is so, and the URL it hands out gives the same bytes."""
    assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
    body = answer.json()
    data = body["data"]
    assert body["message"] == "Uploaded file successfully."
    assert set(data) >= {"bucket", "key", "location", "expires_at", "size", "etag"}, data
    assert (data["bucket"], data["key"], data["size"]) == (bucket, key, len(content))
    assert answer.headers["Cache-Control"] == "no-store"
    check_url(data["location"], content)
    return data


def check_url(url, content):
    fetched = fetch("GET", url)
    assert fetched.status == 200, f"{fetched.status} {fetched.first}"
    assert (fetched.size, fetched.sha256) == (len(content), sha256(content))
    return fetched
