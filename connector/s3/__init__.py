"""S3-compatible object storage: where an object lies, how a request is signed, and the few calls we make.

Plain HTTP over the connector's own guarded client, because no SDK lets us choose the address that is connected to: a
consumer names the endpoint, so its name must be resolved, checked and called in one step
(`connector.protocol.callbacks`). Source: Amazon S3 API Reference, REST API; AWS Signature Version 4.
"""
