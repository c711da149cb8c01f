from . import test_hoot, test_parameters, test_sessions, test_users
