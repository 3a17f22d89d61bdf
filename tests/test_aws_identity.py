"""Which of AWS's sources of credentials counts, and what is wrong with each, without any service."""

import math

import pytest

from gateway import aws
from gateway.errors import ChannelFailed
from gateway.transport.egress import Tools


class Nobody:
    """An HTTP client that reaches nobody, and keeps what was asked."""

    def __init__(self):
        self.asked = []

    def request(self, method, url, headers=None, body=b"", timeout=10):
        self.asked.append((method, url))
        raise ChannelFailed("nobody is there")


@pytest.fixture(name="find")
def _find():
    """find(environment) -> (what is found, or why nothing is; whom it asked)"""

    def find(**environment):
        nobody = Nobody()
        try:
            found = aws.find_credentials(environment, Tools(nobody, None, None), "eu-west-1")
        except ChannelFailed as error:
            found = str(error)
        return found, nobody.asked

    return find


KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_the_environments_own_keys_come_first(find):
    more = {"AWS_WEB_IDENTITY_TOKEN_FILE": "t", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}
    found, seconds = find(**KEYS, **more)[0]
    assert (found, seconds) == (aws.Credentials("AKID", "secret"), math.inf)
    assert find(**KEYS, AWS_SESSION_TOKEN="token")[0][0].token == "token"
    assert "AWS_SECRET_ACCESS_KEY" in find(AWS_ACCESS_KEY_ID="AKID")[0]


@pytest.mark.parametrize("environment, asked", [
    ({}, ("PUT", "http://169.254.169.254/latest/api/token")),
    ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://m.test/"}, ("PUT", "http://m.test/latest/api/token")),
    ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/c"}, ("GET", "http://169.254.170.2/v2/c")),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"},
     ("GET", "http://169.254.170.23/v1/credentials")),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/v1/credentials"},
     ("GET", "http://[fd00:ec2::23]/v1/credentials")),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://agent.test/c"}, ("GET", "https://agent.test/c")),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": __file__, "AWS_ROLE_ARN": "r"}, ("POST", "https://sts.eu-west-1.amazonaws.com/")),
])  # fmt: skip
def test_what_the_environment_speaks_of_is_asked_and_nothing_in_its_place(environment, asked, find):
    assert find(**environment) == ("nobody is there", [asked])


@pytest.mark.parametrize("environment, said", [
    ({"AWS_EC2_METADATA_DISABLED": "true"}, "names no credentials"),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "absent"}, "without AWS_ROLE_ARN"),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "absent", "AWS_ROLE_ARN": "r"}, "'absent' cannot be read: No such file"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://evil.test/c"}, "has to be https"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1.evil.test/c"}, "has to be https"),
    ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/c", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "canary\r\nx: y"},
     "what no header may"),
])  # fmt: skip
def test_what_is_wrong_is_said_and_nobody_asked(environment, said, find):
    found, asked = find(**environment)
    assert said in found
    assert asked == []
    assert "canary" not in found


def test_all_that_may_be_asked_is_named():
    assert aws.identity_places({}) == (
        "https://sts.${channel.options.region}.amazonaws.com", "http://169.254.170.23", "http://169.254.170.2",
        "http://169.254.169.254",
    )  # fmt: skip
    named = {
        "AWS_ENDPOINT_URL_STS": "https://sts.test", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://[fd00:ec2::254]",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/v1/credentials",
    }  # fmt: skip
    assert {"https://sts.test", "http://[fd00:ec2::23]/v1/credentials"} <= set(aws.identity_places(named))
