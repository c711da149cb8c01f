from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in


class SessionTimeoutConfig(AppConfig):
    name = "session_timeout"

    def ready(self):
        from .middleware import open_session

        user_logged_in.connect(open_session)
