import io
from pathlib import Path

import polib

from odoo.tests import TransactionCase, tagged
from odoo.tools.translate import trans_export

MODULE = "inactive_session_timeout_pg"
DIRECTORY = Path(__file__).parents[1] / "i18n"


@tagged("post_install", "-at_install")
class TestTranslations(TransactionCase):
    def terms(self):
        exported = io.BytesIO()
        trans_export(False, [MODULE], exported, "po", self.env)
        return {entry.msgid for entry in polib.pofile(exported.getvalue().decode())}

    def test_the_template_has_every_term(self):
        template = polib.pofile(str(DIRECTORY / f"{MODULE}.pot"))
        self.assertEqual({entry.msgid for entry in template}, self.terms())

    def test_every_term_is_translated(self):
        terms = self.terms()
        for language in ("de", "fr", "it"):
            translation = polib.pofile(str(DIRECTORY / f"{language}.po"))
            with self.subTest(language=language):
                self.assertEqual({entry.msgid for entry in translation.translated_entries()}, terms)

    def test_a_translation_keeps_the_placeholders(self):
        for path in DIRECTORY.glob("*.po"):
            for entry in polib.pofile(str(path)):
                for placeholder in ("%s", "%(value)s", "%(time)s", "%(key)s", "%(extension)s", "%(database)s", "%(role)s"):
                    with self.subTest(language=path.stem, term=entry.msgid):
                        self.assertEqual(entry.msgid.count(placeholder), entry.msgstr.count(placeholder))

    def test_a_refusal_speaks_the_user_s_language(self):
        self.env["res.lang"]._activate_lang("de_DE")
        with self.assertRaisesRegex(Exception, "„abc“ ist keine Zeitdauer"):
            self.env["ir.config_parameter"].sudo().with_context(lang="de_DE").set_param(
                "inactive_session_time_out_delay", "abc"
            )
