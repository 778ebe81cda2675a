#!/usr/bin/env python3
"""Writes tests/data/sigv4_vectors.tsv: random requests and what botocore makes of them at each stage of signing.

One request a line, fields separated by tabs, each percent-encoded:
  kind (H: header, Q: query), s3 (1, 0), method, path, parameters, headers, payload hash, region, service,
  time (ms since 1970), access key id, secret, token, expires, canonical request, string to sign, signature
Parameters and headers are name=value pairs joined by '&', each name and value encoded.
Run by .deps/venv/bin/python; the seed is fixed, so the same botocore writes the same file.
"""
import datetime
import pathlib
import random
from urllib.parse import quote

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SEED = 20261124
COUNTS = {"s3": 1000, "generic": 500, "query": 600}
OUT = pathlib.Path(__file__).parent.parent / "data" / "sigv4_vectors.tsv"
EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

rng = random.Random(SEED)
PIECES = ["a", "Z", "0", "-", ".", "_", "~", " ", "+", "%", "%20", "&", "=", "?", "#", "'", '"', "(", ")", "*", "!", ",",
          ";", ":", "@", "$", "[", "]", "\\", "^", "`", "{", "|", "}", "<", ">", "ä", "ß", "€", "漢", "😀", "é"]


def text(most, extra=()):
    return "".join(rng.choice(PIECES + list(extra)) for _ in range(rng.randint(0, most)))


def path():
    segments = [rng.choice([text(8), ".", "..", "", "key"]) if rng.random() < 0.4 else text(10)
                for _ in range(rng.randint(1, 5))]
    return "/" + "/".join(segments)


def parameters(unique):
    pairs = [(text(5, "/") or "k", text(8, "/")) for _ in range(rng.choice([0, 0, 1, 2, 3, 6]))]
    if not unique and pairs and rng.random() < 0.3:
        pairs.append((pairs[0][0], text(8, "/")))
    return list(dict(pairs).items()) if unique else pairs


def headers():
    names = rng.sample(["x-amz-meta-a", "X-Amz-Meta-B", "x-amz-acl", "Content-Type", "range", "If-None-Match",
                        "x-amz-storage-class", "Cache-Control", "User-Agent", "expect", "Connection"],
                       rng.choice([0, 0, 1, 2, 4]))
    pairs = [(name, rng.choice(["", " "]) + rng.choice(["a  b   c", "plain", '"quoted  text"', "x,y", "1", "a\tb", "*"])
              + rng.choice(["", "  "])) for name in names]
    if pairs and rng.random() < 0.2:
        pairs.append((pairs[0][0], "again"))
    return pairs


def pairs_text(pairs):
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def vector(kind):
    secret = "".join(rng.choices("abcXYZ0123+/=", k=rng.choice([1, 20, 40, 40, 40, 60, 61, 100])))
    token = "".join(rng.choices("abcXYZ0123+/=", k=rng.choice([10, 400]))) if rng.random() < 0.4 else None
    identity = Credentials("AKID" + str(rng.randint(0, 10**9)), secret, token)
    region = rng.choice(["us-east-1", "eu-central-1", "ap-southeast-2", "cn-north-1", "local"])
    service = "s3" if kind != "generic" else rng.choice(["logs", "sts"])
    when = datetime.datetime.fromtimestamp(rng.randint(0, 4102444799), datetime.timezone.utc)
    method = rng.choice(["GET", "HEAD", "PUT", "POST", "DELETE"])
    host = rng.choice(["examplebucket.s3.amazonaws.com", "localhost:4566", "127.0.0.1:9000", "[::1]:8080", "s3.example"])
    expires = rng.choice([1, 60, 3600, 86400, 604800])
    raw_path, query, extra = path(), parameters(kind == "query"), headers()
    payload = "UNSIGNED-PAYLOAD" if kind == "query" else rng.choice([EMPTY_HASH, f"{rng.getrandbits(256):064x}"])

    request = AWSRequest(method, f"http://{host}{quote(raw_path, safe='/-._~')}")
    request.context["timestamp"] = when.strftime("%Y%m%dT%H%M%SZ")
    request.headers.add_header("host", host)
    sent = [("host", host), *extra]
    if kind != "query":
        sent.append(("x-amz-date", request.context["timestamp"]))
        sent.append(("X-Amz-Content-SHA256", payload))
        if token:
            sent.append(("x-amz-security-token", token))
    for name, value in sent[1:]:
        request.headers.add_header(name, value)
    if kind == "query":
        auth = S3SigV4QueryAuth(identity, service, region, expires)
        request.params = dict(query)
        auth._modify_request_before_signing(request)
    else:
        auth = (S3SigV4Auth if kind == "s3" else SigV4Auth)(identity, service, region)
        request.params = query
    canonical = auth.canonical_request(request)
    to_sign = auth.string_to_sign(request, canonical)
    fields = [
        "Q" if kind == "query" else "H", "0" if kind == "generic" else "1", method, raw_path, None, None, payload, region,
        service, str(int(when.timestamp()) * 1000), identity.access_key, secret, token or "", str(expires), canonical,
        to_sign, auth.signature(to_sign, request),
    ]
    encoded = [quote(field, safe=" /:;,=") if field is not None else "" for field in fields]
    encoded[4], encoded[5] = pairs_text(query), pairs_text(sent)
    return "\t".join(encoded)


def main():
    lines = [vector(kind) for kind, count in COUNTS.items() for _ in range(count)]
    OUT.write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{len(lines)} vectors in {OUT}")


if __name__ == "__main__":
    main()
