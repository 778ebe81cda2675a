"""Every scenario by its name, in the order in which they run."""

from scenarios import cost, logs, memory, requests, streams, tls, uploads

ALL = {
    "get-file": requests.get_file,
    "hello": requests.hello,
    "small-posts": requests.small_posts,
    "cost": cost.cost,
    "logs": logs.rates,
    "logs-cost": logs.cost,
    "logs-memory": logs.memory,
    "upload-versitygw": uploads.to_versitygw,
    "upload-minio": uploads.to_minio,
    "stream-versitygw": streams.from_versitygw,
    "stream-minio": streams.from_minio,
    "upload-tls": tls.upload,
    "stream-tls": tls.stream,
    "memory-large": memory.one_large_upload,
    "memory-many": memory.many_uploads,
    "memory-slow": memory.slow_uploads,
    "memory-readers": memory.slow_readers,
}
