"""What botocore's CloudFrontSigner makes of the orders on standard input: one answer for each, as JSON."""

import datetime
import json
import sys

from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

given = json.load(sys.stdin)
key = load_pem_private_key(given["key"].encode(), None)
signer = CloudFrontSigner(given["keyPairId"], lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA1()))


def cookies(policy):
    """As Amazon's manual has it, for botocore makes URLs only: the parameters of its signed URL under the cookies' names."""
    signed = signer.generate_presigned_url("https://x/", policy=policy)
    return {f"CloudFront-{name}": value for name, _, value in (part.partition("=") for part in signed.partition("?")[2].split("&"))}


def make(order):
    until = datetime.datetime.fromtimestamp(order["expires"], datetime.timezone.utc)
    policy = order.get("policy")
    if order["what"] == "cookies":
        return {"url": order["url"], "cookies": cookies(policy or signer.build_policy(order["url"], until))}
    if order.get("ip"):
        policy = signer.build_policy(order["url"], until, ip_address=order["ip"])
    terms = {"policy": policy} if policy else {"date_less_than": until}
    return {"url": signer.generate_presigned_url(order["url"], **terms)}


print(json.dumps([make(order) for order in given["orders"]]))
