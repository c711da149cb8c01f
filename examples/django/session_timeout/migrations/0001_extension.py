"""Creates the extension, in test databases too. The owner of the database may do that; it does nothing where it is
there already."""

from django.contrib.postgres.operations import CreateExtension
from django.db import migrations


class Migration(migrations.Migration):
    operations = [CreateExtension("inactive_session_timeout")]
