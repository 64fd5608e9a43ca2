"""What each API needs to authenticate, made from a connection: ``datadog``, ``azure``, ``aws``.

Nothing is sent when these are made; a token is asked for by the first ``headers()``. Import the module that is
needed: MSAL and boto3 take a second each.
"""
