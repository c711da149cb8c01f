import { browser } from "@web/core/browser/browser";
import { Dialog } from "@web/core/dialog/dialog";
import { _t } from "@web/core/l10n/translation";

import { Component, onWillDestroy, useState } from "@odoo/owl";

const { Duration } = luxon;

/** Seconds left at which a screen reader says how many, apart from whole minutes. */
const SAID = [30, 10];

/** Seconds left from which it looks urgent; of a short warning the last third. */
const URGENT = 30;

export class SessionExpiryDialog extends Component {
    static template = "inactive_session_timeout_pg.SessionExpiryDialog";
    static components = { Dialog };
    static props = {
        state: Object, // of the service, reactive
        consequence: String, // what the end does to the user's work
        stay: Function,
        logOut: Function,
        goOn: Function, // closes the warning of a session that cannot be extended
        close: Function, // prop added by the dialog service
    };

    setup() {
        this.state = useState(this.props.state);
        this.clock = useState({ now: Date.now(), said: "" });
        // Whoever closes the warning is there, which is what it asks.
        this.env.dialogData.dismiss = () =>
            this.state.final ? this.props.goOn() : this.props.stay();
        this.shown = this.seconds || 1;
        this.say(this.seconds);
        this.tick();
        onWillDestroy(() => browser.clearTimeout(this.timer));
    }

    tick() {
        const before = this.seconds;
        this.clock.now = Date.now();
        if (this.seconds !== before && (this.seconds % 60 === 0 || SAID.includes(this.seconds))) {
            this.say(this.seconds);
        }
        // the next whole second
        const left = this.state.deadline - this.clock.now;
        this.timer = browser.setTimeout(() => this.tick(), left > 0 ? left % 1000 || 1000 : 1000);
    }

    say(seconds) {
        this.clock.said =
            seconds > 0
                ? _t("You will be logged out in %s.", this.inWords(seconds))
                : _t("Your time is up.");
    }

    inWords(seconds) {
        const duration =
            seconds < 60
                ? Duration.fromObject({ seconds })
                : Duration.fromObject({
                      minutes: Math.floor(seconds / 60),
                      ...(seconds % 60 && { seconds: seconds % 60 }),
                  });
        return duration.toHuman();
    }

    get seconds() {
        return Math.max(0, Math.ceil((this.state.deadline - this.clock.now) / 1000));
    }

    get countdown() {
        const format = { s: "s", min: "m:ss", h: "h:mm:ss" }[this.unit];
        return Duration.fromObject({ seconds: this.seconds }).toFormat(format);
    }

    /** Of the countdown's first number. */
    get unit() {
        return this.seconds < 60 ? "s" : this.seconds < 3600 ? "min" : "h";
    }

    get isUrgent() {
        return this.seconds <= Math.min(URGENT, this.shown / 3);
    }

    /** How much of the time since the warning is left, in percent. */
    get percent() {
        return Math.min(100, Math.round((100 * this.seconds) / this.shown));
    }

    get title() {
        return this.state.final ? _t("Your session ends soon") : _t("Are you still there?");
    }
}
