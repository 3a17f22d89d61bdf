"""What a worker keeps: shared from the moment it begins to serve."""

import pytest

from gateway.services import Services


@pytest.fixture(name="services_of")
def _services_of(tmp_path):
    """services_of() -> those of one more process with the same configuration."""
    made = []

    def make():
        made.append(Services(tmp_path / "gateway.yaml", "sqlite:///state.db"))
        return made[-1]

    yield make
    for services in made:
        services.end()


def test_what_was_looked_at_before_the_beginning_is_not_kept(services_of):
    one, other = services_of(), services_of()
    assert one.state.claim("once", 60)  # as a health check may, before the first call
    one.begin()
    other.begin()
    assert [each.state.claim("once", 60) for each in (one, other)] == [True, False]
