-- wrk: a form with one file of 4 KiB.
wrk.method = "POST"
wrk.headers["Content-Type"] = "multipart/form-data; boundary=benchmark"
wrk.body = "--benchmark\r\n"
    .. 'Content-Disposition: form-data; name="file"; filename="small.bin"\r\n'
    .. "Content-Type: application/octet-stream\r\n\r\n"
    .. string.rep("0123456789abcdef", 256)
    .. "\r\n--benchmark--\r\n"
