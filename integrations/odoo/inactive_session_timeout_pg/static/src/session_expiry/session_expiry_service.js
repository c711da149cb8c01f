import { ConnectionLostError } from "@web/core/network/rpc";
import { registry } from "@web/core/registry";
import { session } from "@web/session";

import { isSessionExpired, SessionExpiry } from "./session_expiry";

export const sessionExpiryService = {
    dependencies: ["dialog", "notification"],

    start(env, services) {
        const info = session.inactive_session_timeout;
        return info ? new SessionExpiry(env, services, info) : null;
    },
};

registry.category("services").add("session_expiry", sessionExpiryService);

/** On the way to the login page, Odoo's own dialogs on an expired session and a lost connection would only flash up. */
function sessionOverHandler(env, error, originalError) {
    const over = env.services.session_expiry?.state.over;
    if (over && (isSessionExpired(originalError) || originalError instanceof ConnectionLostError)) {
        error.unhandledRejectionEvent?.preventDefault();
        return true;
    }
    return false;
}

registry
    .category("error_handlers")
    .add("inactive_session_timeout_pg", sessionOverHandler, { sequence: 10 });
