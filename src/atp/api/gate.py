"""The gate that every door stands behind: who asks, how often, and what of it is written down."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from atp.api.limiter import Limiter
from atp.app.platform import Platform
from atp.app.trail import Trail
from atp.errors import AtpError, ForbiddenError, MissingError, UnauthorizedError, UnavailableError
from atp.log.event import Resource
from atp.tenants.access import Caller

_NOBODY = "nobody"
_TRAIL_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Gate:
    """What doors share: the platform, the operators' trail, and the buckets of the keys."""

    platform: Platform
    trail: Trail
    limiter: Limiter

    def caller(self, request: Request) -> Caller:
        """Who asks. UnauthorizedError when nobody is known by the key, RateLimitedError when he asks too often."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            raise UnauthorizedError("could not let you in: no key was given", hint="send Authorization: Bearer KEY")
        if scheme.lower() != "bearer":
            raise UnauthorizedError(
                "could not let you in: the scheme is not Bearer", hint="send Authorization: Bearer KEY"
            )
        caller = self.platform.authenticate(key)
        request.state.caller = caller
        self.limiter.take(caller.key_id)
        return caller

    def admit(self, request: Request, scope: str) -> tuple[Caller, str]:
        """Who asks, and for which tenant. MissingError when the tenant is absent or not his, ForbiddenError without
        the scope; so nothing else of a request is looked at before."""
        caller, tenant = self.caller(request), str(request.path_params["tenant"])
        self.platform.reader(tenant, by=caller, scope=scope)
        return caller, tenant

    def read(self, request: Request, action: str, question: Mapping[str, str], *, by: Caller, tenant: str) -> None:
        """Tell the operators' trail of a read that was answered."""
        self.trail.read(action, person=by.person, tenant=tenant, ip=_ip(request), question=question)

    def act(self, request: Request, action: str, resource: Resource, data: Mapping[str, object], *, by: Caller) -> None:
        """Write an act down and wait until that is durable. For doors that run in a thread."""
        done = self.trail.act(action, person=by.person, resource=resource, ip=_ip(request), data=data)
        try:
            done.result(_TRAIL_SECONDS_MAX)
        except TimeoutError:
            raise UnavailableError(
                f"could not write {action!r} into the operators' trail in time", hint="see /health"
            ) from None

    def refused(self, request: Request, error: AtpError) -> None:
        """Tell the operators' trail that somebody was not let in, or asked for a tenant that is not his."""
        caller: Caller | None = getattr(request.state, "caller", None)
        tenant = request.path_params.get("tenant")
        is_foreign = isinstance(error, MissingError) and caller and tenant and not caller.sees(tenant)
        if is_foreign or isinstance(error, UnauthorizedError | ForbiddenError):
            route = request.scope.get("route")
            door = f"{request.method} {getattr(route, 'path', '')}"
            person = caller.person if caller else _NOBODY
            self.trail.refuse(person=person, door=door, code=error.code, tenant=tenant, ip=_ip(request))


def _ip(request: Request) -> str | None:
    return request.client.host if request.client else None
