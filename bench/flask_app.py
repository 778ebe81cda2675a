"""The least that the original was: a Flask application that takes a form, gives it to boto3, and answers with a
presigned URL. It runs under gunicorn; S3_ENDPOINT, S3_KEY, S3_SECRET and S3_REGION are its settings."""

import os

import boto3
from botocore.config import Config
from flask import Flask, jsonify, request

app = Flask(__name__)
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["S3_ENDPOINT"],
    aws_access_key_id=os.environ["S3_KEY"],
    aws_secret_access_key=os.environ["S3_SECRET"],
    region_name=os.environ["S3_REGION"],
    config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
)


@app.post("/file/<bucket>")
def upload(bucket):
    file = request.files["file"]
    s3.upload_fileobj(file, bucket, file.filename)
    location = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": file.filename}, ExpiresIn=86400)
    return jsonify(message="Uploaded file successfully.", location=location), 201
