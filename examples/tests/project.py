"""The settings of a Django project for test_django.py. The server is that of PGHOST."""

SECRET_KEY = "for tests alone"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "session_timeout",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "session_timeout.middleware.SessionTimeout",
]
AUTH_PASSWORD_VALIDATORS = [{"NAME": "session_timeout.middleware.CloseOtherSessions"}]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a fast one
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "django", "ATOMIC_REQUESTS": True}}
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
