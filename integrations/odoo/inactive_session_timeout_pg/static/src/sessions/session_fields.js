import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

import { Component } from "@odoo/owl";

const { Duration } = luxon;

/** Hours as a duration that says its units: 00:15 may be minutes or seconds. */
export class DurationField extends Component {
    static template = "inactive_session_timeout_pg.DurationField";
    static props = { ...standardFieldProps };

    get duration() {
        const minutes = Math.round(this.props.record.data[this.props.name] * 60);
        const units = minutes < 60 ? ["minutes"] : minutes < 1440 ? ["hours", "minutes"] : ["days", "hours"];
        const duration = Duration.fromObject({ minutes }).shiftTo(...units).toObject();
        const shown = Object.entries(duration).filter(([, value], i) => !i || Math.floor(value));
        return Duration.fromObject(
            Object.fromEntries(shown.map(([unit, value]) => [unit, Math.floor(value)]))
        ).toHuman({ unitDisplay: "short", listStyle: "narrow" });
    }
}

/** The field's label, on the session that one uses oneself. */
export class CurrentSessionField extends Component {
    static template = "inactive_session_timeout_pg.CurrentSessionField";
    static props = { ...standardFieldProps };

    get isCurrent() {
        return this.props.record.data[this.props.name];
    }

    get label() {
        return this.props.record.fields[this.props.name].string;
    }
}

registry.category("fields").add("session_timeout_duration", {
    component: DurationField,
    supportedTypes: ["float"],
    isEmpty: () => false,
});

registry.category("fields").add("session_timeout_current", {
    component: CurrentSessionField,
    supportedTypes: ["boolean"],
    isEmpty: () => false,
});
