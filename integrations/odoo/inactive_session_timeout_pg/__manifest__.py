{
    "name": "Inactive Session Timeout (PostgreSQL)",
    "summary": "Log out sessions that have been idle too long, checked in PostgreSQL",
    "version": "19.0.1.0.0",
    "category": "Tools",
    "license": "LGPL-3",
    "author": "inactive_session_timeout contributors",
    "depends": ["base_setup", "bus", "web"],
    "external_dependencies": {},
    "data": [
        "security/ir.model.access.csv",
        "security/session_timeout_rules.xml",
        "data/ir_cron.xml",
        "data/ir_asset.xml",
        "views/login_templates.xml",
        "views/session_timeout_session_views.xml",
        "views/res_config_settings_views.xml",
    ],
    "assets": {
        "web.assets_backend": [
            "inactive_session_timeout_pg/static/src/tabs.js",
            "inactive_session_timeout_pg/static/src/session_expiry/**/*",
            "inactive_session_timeout_pg/static/src/sessions/**/*",
        ],
        "web.assets_frontend": [
            "inactive_session_timeout_pg/static/src/tabs.js",
            "inactive_session_timeout_pg/static/src/login/**/*",
        ],
        "web.assets_unit_tests": [
            "inactive_session_timeout_pg/static/tests/**/*",
        ],
    },
    "pre_init_hook": "pre_init_hook",
    "post_init_hook": "post_init_hook",
    "uninstall_hook": "uninstall_hook",
    "installable": True,
}
