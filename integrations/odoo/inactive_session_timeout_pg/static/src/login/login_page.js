/**
 * The login page takes part in what the tabs of a browser tell each other: however a session ended, tabs that still
 * show it ask the server, and follow. After a login, those that wait here go back to where they were.
 */
import { browser } from "@web/core/browser/browser";

import { openTabs } from "../tabs";

const isLoginPage = () => /\/web\/login\/?$/.test(browser.location.pathname);

function takePart() {
    const search = new URLSearchParams(browser.location.search);
    const { tell } = openTabs(({ type, db }) => {
        // A page of the web client was loaded. With a session and a way back, the server sends this page there; but for
        // one of another database, which it would log out.
        if (type === "activity" && search.has("redirect") && [db, null].includes(search.get("db"))) {
            browser.location.assign(browser.location.href);
        }
    });
    tell({ type: "login" });
}

if (isLoginPage()) {
    takePart();
}
