import { browser } from "@web/core/browser/browser";
import { _t } from "@web/core/l10n/translation";
import { ConnectionLostError, rpc } from "@web/core/network/rpc";
import { patch } from "@web/core/utils/patch";

import {
    isSessionExpired,
    OUTLOOK_ROUTE,
    SessionExpiry,
    STAY_ROUTE,
} from "../session_expiry/session_expiry";

/** From the first payment line to the receipt. */
const PAYMENT_PAGES = new Set(["PaymentScreen", "TipScreen", "FeedbackScreen", "ReceiptScreen"]);
/** Milliseconds without input after which a payment that waits for no terminal has been abandoned. */
const ABANDONED = 300_000;

/**
 * In Point of Sale nothing comes between a cashier and a payment: neither a warning, nor the way to the login page. An
 * order that is paid after the session's end is kept as one that is paid while the server cannot be reached.
 */
const till = {
    isPaying() {
        const { pos } = this.env.services;
        return Boolean(
            pos?.paymentTerminalInProgress ||
                (PAYMENT_PAGES.has(pos?.router?.state.current) &&
                    Date.now() - this.presence.inputAt < ABANDONED)
        );
    },

    waitToShow() {
        const wait = super.waitToShow();
        return this.isPaying() ? 1000 : wait;
    },

    /** A till sells without the server, too: no dialog is in its way meanwhile. */
    showOrHide() {
        if (this.state.unreachable) {
            this.closeDialog?.();
        } else {
            super.showOrHide();
        }
    },

    warnUnheard() {},

    get consequence() {
        return _t("Orders are kept on this device.");
    },

    async goToLogin() {
        if (this.isPaying()) {
            this.closeNotification ??= this.notification.add(
                _t("Your session has ended. Finish this payment: it is kept here, and sent after the next login."),
                { type: "warning", sticky: true }
            );
            browser.setTimeout(() => this.goToLogin(), 1000);
            return;
        }
        await this.keepOrders();
        super.goToLogin();
    },

    /** In the browser's database, where they are a moment after each change. */
    async keepOrders() {
        try {
            await this.env.services.pos_data.synchronizeLocalDataInIndexedDB();
        } catch (error) {
            console.warn(error); // it has not been loaded yet
        }
    },

    async logOut() {
        await this.keepOrders();
        const way = new URLSearchParams({ redirect: this.loginPage });
        browser.location.href = `/web/session/logout?${way}`;
    },
};

/** Point of Sale takes a refused order for a wrong one, and one that cannot be sent for one to send later. */
function holdBackExpiry() {
    const { _rpc } = rpc;
    rpc._rpc = (url, ...options) => {
        const request = _rpc(url, ...options);
        if (url === OUTLOOK_ROUTE || url === STAY_ROUTE) {
            return request;
        }
        const held = request.catch((error) => {
            throw isSessionExpired(error) ? new ConnectionLostError(url) : error;
        });
        held.abort = request.abort;
        return held;
    };
}

// The unit tests of the web client load this file, too.
if (odoo.pos_config_id) {
    patch(SessionExpiry.prototype, till);
    holdBackExpiry();
}
