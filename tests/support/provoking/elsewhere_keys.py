"""Messages about keys and signatures that need more than a command, and the tests that do it."""

_KEYS = "unit/test_keyring.py"
_SHEET = "unit/test_recovery_sheet.py"
_UNLOCK = "unit/test_unlocking.py"
_KEY = "unit/test_cli_key.py"

OF_KEYS: dict[str, str] = {
    "which is not trusted here": (
        "faults/test_signed_refs.py::test_what_nobody_trusted_signed_is_not"
    ),
    "somebody forged it": "faults/test_signed_refs.py::test_a_forged_ref_shows_nothing",
    "is older than what was seen here": (
        "faults/test_signed_refs.py::test_who_hides_what_came_later_is_found_out"
    ),
    "signed its removal": "faults/test_signed_refs.py::test_only_a_signed_removal_removes",
    "so no ref is made to point there": (
        "faults/test_signed_refs.py::test_undo_signs_nothing_that_nobody_had_signed"
    ),
    "is not in the index as it was signed": (
        "unit/test_trust.py::test_a_head_without_its_record_is_not_believed"
    ),
    "which says what was seen of refs": "unit/test_trust.py::test_a_damaged_file_is_told",
    "what was seen of refs must be kept": (
        "unit/test_trust.py::test_what_cannot_be_noted_is_not_shown"
    ),
    "and nothing is shown without it": (
        "unit/test_trust.py::test_what_cannot_be_noted_is_not_shown"
    ),
    "signatures need ‹package›": "unit/test_trust.py::test_without_the_library_it_is_named",
    "=backend ‹name› did not answer within ‹seconds› s@TimedOutError": (
        "unit/test_unlocking.py::test_who_hangs_is_not_waited_for_where_another_answers"
    ),
    "‹path› is encrypted and its key": (
        "unit/test_cli_push.py::test_a_store_that_is_encrypted_is_opened"
    ),
    "the store is encrypted and its key was not given": (
        "unit/test_store_cipher.py::test_without_the_key_nothing_is_read_or_named"
    ),
    "no journal record can be opened with this key": (
        "unit/test_encrypted_store.py::test_another_stores_key_opens_nothing"
    ),
    "an encrypted store needs": (
        "unit/test_store_cipher.py::test_without_the_library_the_extra_is_named"
    ),
    "is empty or longer than": f"{_KEYS}::test_passphrases_that_cannot_be",
    "cannot be a key file": f"{_KEYS}::test_key_files_that_cannot_be",
    "has not 32 hex digits": f"{_SHEET}::test_the_store_counts_too",
    "its line `key ‹number›`": f"{_SHEET}::test_a_mistake_is_found_in_its_row",
    "keys, and cannot have more": f"{_KEYS}::test_there_is_an_end_of_slots",
    "is the store's last one": f"{_KEYS}::test_slots_come_change_and_go",
    "‹name› may be ‹ids›": f"{_KEYS}::test_one_is_found_by_label_or_id",
    "a key's label may have": f"{_KEYS}::test_labels_that_cannot_be",
    "the store has no key": f"{_KEYS}::test_one_is_found_by_label_or_id",
    "MiB of memory, and": f"{_KEYS}::test_a_machine_without_the_memory_says_so",
    "is not encrypted and has no keys": f"{_UNLOCK}::test_what_is_in_the_clear_needs_nothing",
    "says that the store is encrypted": (
        f"{_UNLOCK}::test_a_configuration_that_forgot_that_it_is_encrypted"
    ),
    "says that the store is not encrypted": (
        f"{_UNLOCK}::test_a_configuration_that_says_of_one_in_the_clear_that_it_is_encrypted"
    ),
    "is no key of the keyring": (
        f"{_UNLOCK}::test_a_named_key_is_changed_by_whoever_opens_the_store"
    ),
    "the recovery sheet ‹file› cannot be written": (
        f"{_UNLOCK}::test_an_init_overwrites_no_sheet_and_leaves_none_behind"
    ),
    "a recovery sheet overwrites nothing": (
        f"{_UNLOCK}::test_an_init_overwrites_no_sheet_and_leaves_none_behind"
    ),
    "no copy of the store's keyring": f"{_UNLOCK}::test_with_none_left_only_the_sheet_opens_it",
    "no backend has a keyring": f"{_UNLOCK}::test_with_none_left_only_the_sheet_opens_it",
    "no backend takes the new keyring": (f"{_UNLOCK}::test_with_no_backend_up_nothing_is_changed"),
    "is of the store ‹id›": f"{_UNLOCK}::test_the_sheet_of_another_store_is_told_so",
    "which may know of later keys": f"{_UNLOCK}::test_no_backend_is_needed_to_open_it",
    "the backends have the new keys": f"{_UNLOCK}::test_a_full_disk_under_a_change_is_told",
    "‹file› cannot be read: ‹reason›; name the right file": f"{_KEY}::test_files_that_are_no_use",
    "has no text in its first line": f"{_KEY}::test_files_that_are_no_use",
    "cannot be made: ‹reason›": f"{_KEY}::test_files_that_are_no_use",
    "--key-file and --passphrase-file are both": f"{_KEY}::test_files_that_are_no_use",
    "passphrase and key_file are both": f"{_KEY}::test_the_python_api_opens_it",
    "give one of ‹options›, not both": f"{_KEY}::test_files_that_are_no_use",
    "there is no terminal to ask": f"{_KEY}::test_files_that_are_no_use",
    "the two passphrases are not": f"{_KEY}::test_a_passphrase_is_typed_twice",
    "no passphrase was typed": f"{_KEY}::test_a_passphrase_is_typed_twice",
    "cannot be a key: it is": f"{_KEY}::test_files_that_are_no_use",
    "characters, and could be guessed": f"{_KEY}::test_files_that_are_no_use",
    "--recovery-file is of": f"{_KEY}::test_init_wants_a_way_back",
    "--encrypt needs --recovery-file": f"{_KEY}::test_init_wants_a_way_back",
    "no store was made; run it": f"{_KEY}::test_init_wants_a_way_back",
    "does not open this store": f"{_KEYS}::test_nothing_else_does",
}
