"""UPLOAD_SWEEP_AGE_HOURS: abandoned uploads of this service are aborted, all others stay."""

import time

import pytest
from s3_stand_in import Answer, Upload
from support.waiting import wait_until

OURS = "arn:aws:sts::1:assumed-role/files/a-task-that-was-killed"
HOUR = 3600
SWEPT = "abandoned uploads were swept"


def begin(s3, bucket, key, initiator, hours):
    s3.make_bucket(bucket)
    id = f"upload-{len(s3.uploads)}"
    s3.uploads[id] = Upload(bucket, key, "", {}, initiator, time.time() - hours * HOUR)
    return id


def wait_swept(service, bucket):
    return service.wait_log(
        lambda line: line["message"] == SWEPT and line.get("bucket") == bucket, f"{bucket} is swept"
    )


def test_only_our_own_and_old_ones_go(start_service, s3):
    gone = [begin(s3, "one", f"old-{i}", OURS, 3) for i in range(5)]  # three pages
    gone += [begin(s3, "two", "a key & <more>", OURS, 2.1)]
    stay = [
        begin(s3, "one", "young", OURS, 1.9),
        begin(s3, "one", "of-another-role", "arn:aws:sts::1:assumed-role/backup/x", 99),
        begin(s3, "one", "of-a-longer-name", "arn:aws:sts::1:assumed-role/files-too/x", 99),
        begin(s3, "two", "of-a-user", "arn:aws:iam::1:user/somebody", 99),
        begin(s3, "two", "of-nobody", "", 99),
    ]
    service = start_service(s3, UPLOAD_SWEEP_AGE_HOURS=2)
    assert wait_swept(service, "one")["aborted"] == 5
    assert wait_swept(service, "two")["aborted"] == 1
    assert set(s3.uploads) == set(stay)  # the one that shows who we are is gone, too
    assert not set(s3.uploads) & set(gone)


def test_it_is_off_unless_asked_for(start_service, s3):
    begin(s3, "one", "old", OURS, 1000)
    service = start_service(s3)
    assert service.put("/file/one/x", b"content").status_code == 201
    assert len(s3.uploads) == 1
    assert "ListBuckets" not in s3.operations()


def test_only_the_buckets_that_clients_may_use_are_swept(start_service, s3):
    begin(s3, "p-one", "old", OURS, 3)
    begin(s3, "p-two", "old", OURS, 3)
    begin(s3, "other", "old", OURS, 3)
    service = start_service(s3, UPLOAD_SWEEP_AGE_HOURS=2, BUCKET_PREFIX="p-")
    wait_swept(service, "one")
    wait_swept(service, "two")
    assert [upload.bucket for upload in s3.uploads.values()] == ["other"]


def test_an_allow_list_is_swept_without_asking_for_buckets(start_service, s3):
    begin(s3, "one", "old", OURS, 3)
    begin(s3, "two", "old", OURS, 3)
    service = start_service(s3, UPLOAD_SWEEP_AGE_HOURS=2, BUCKET_ALLOWLIST="two")
    wait_swept(service, "two")
    assert [upload.bucket for upload in s3.uploads.values()] == ["one"]
    assert "ListBuckets" not in s3.operations()


def test_where_s3_names_nobody_nothing_is_touched(start_service, versitygw, bucket):
    versitygw.s3.create_bucket(Bucket=bucket)
    versitygw.s3.create_multipart_upload(Bucket=bucket, Key="somebody's")
    service = start_service(versitygw, UPLOAD_SWEEP_AGE_HOURS=1, BUCKET_ALLOWLIST=bucket)
    line = wait_swept(service, bucket)
    assert (line["level"], line["aborted"]) == ("warn", 0)
    assert "does not say who" in line["error"]
    assert [upload["Key"] for upload in versitygw.uploads_left(bucket)] == ["somebody's"]


def test_a_young_upload_of_a_real_server_stays(start_service, localstack, bucket):
    localstack.s3.create_bucket(Bucket=bucket)
    localstack.s3.create_multipart_upload(Bucket=bucket, Key="young")
    service = start_service(localstack, UPLOAD_SWEEP_AGE_HOURS=1, BUCKET_ALLOWLIST=f"{bucket},no-such-bucket")
    wait_swept(service, "no-such-bucket")  # after the other one
    assert [upload["Key"] for upload in localstack.uploads_left(bucket)] == ["young"]


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("ListBuckets", Answer(403, error="AccessDenied")),
        ("ListBuckets", Answer(200, body=b"<ListAllMyBucketsResult>")),
        ("CreateMultipartUpload", Answer(403, error="AccessDenied")),
        ("CreateMultipartUpload", Answer(200, body=b"<nonsense/>")),
        ("ListMultipartUploads", Answer(403, error="AccessDenied")),
        ("ListMultipartUploads", Answer(200, body=b"<nonsense/>")),
        ("AbortMultipartUpload", Answer(403, error="AccessDenied")),
    ],
)
def test_a_failure_is_logged_and_nothing_else_suffers(start_service, s3, operation, answer):
    old = begin(s3, "one", "old", OURS, 3)
    s3.script_always(operation, answer)
    service = start_service(s3, UPLOAD_SWEEP_AGE_HOURS=2)
    line = service.wait_log(lambda line: line["message"] == SWEPT, "the failure")
    assert line["level"] == "warn" and line["error"]
    assert old in s3.uploads
    if operation == "ListMultipartUploads":  # what shows who we are does not stay behind
        wait_until(lambda: set(s3.uploads) == {old}, 5, "our own upload is aborted")
    assert service.put("/file/one/x", b"content").status_code == 201


def test_an_upload_that_ends_meanwhile_is_no_failure(start_service, s3):
    begin(s3, "one", "a", OURS, 3)
    begin(s3, "one", "b", OURS, 3)
    s3.script("AbortMultipartUpload", Answer(204, apply=True), Answer(404, error="NoSuchUpload"))
    service = start_service(s3, UPLOAD_SWEEP_AGE_HOURS=2)
    line = wait_swept(service, "one")
    assert (line["level"], line["aborted"]) == ("info", 1)


def test_a_sweep_that_hangs_does_not_hold_up_the_end(start_service, s3):
    s3.make_bucket("one")
    s3.script_always("ListBuckets", Answer(hang=True))
    service = start_service(s3, UPLOAD_SWEEP_AGE_HOURS=2)
    s3.wait_for("ListBuckets")
    service.signal()
    assert service.wait_end(5) == 0
