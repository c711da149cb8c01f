{
    "name": "An UPDATE on each request",
    "summary": "For the benchmark: what a session's time costs as a row that each request writes",
    "version": "19.0.1.0.0",
    "license": "LGPL-3",
    "author": "inactive_session_timeout contributors",
    "depends": ["web"],
    "post_init_hook": "post_init_hook",
}
