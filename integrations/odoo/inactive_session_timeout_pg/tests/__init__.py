from . import (
    test_countdown,
    test_hoot,
    test_looks,
    test_parameters,
    test_pictures,
    test_point_of_sale,
    test_requests,
    test_sessions,
    test_settings,
    test_translations,
    test_users,
)
