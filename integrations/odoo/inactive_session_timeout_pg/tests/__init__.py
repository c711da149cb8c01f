from . import test_countdown, test_hoot, test_parameters, test_pictures, test_sessions, test_translations, test_users
