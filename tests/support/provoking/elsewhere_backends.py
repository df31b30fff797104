"""Messages of backends that need a server, and the tests that provoke them."""

_IPFS = "unit/test_backend_ipfs.py"
_GATEWAY = "unit/test_ipfs_gateway.py"
_DRIVE = "unit/test_backend_gdrive.py"
_MEGA = "unit/test_backend_mega.py"

OF_BACKENDS: dict[str, str] = {
    "may take no more now": "unit/test_backend_rated.py::test_a_day_has_so_many_bytes",
    "install it with `pip install": (
        "unit/test_backend_webdav.py::test_without_httpx2_the_extra_is_named"
    ),
    "the folder ‹path› on ‹host› is not there": (
        "unit/test_backend_webdav.py::test_only_create_makes_the_root"
    ),
    "the folder ‹path› on ‹host› is not the one": (
        "unit/test_backend_webdav.py::test_a_root_that_went_is_not_an_empty_one"
    ),
    "‹host› does not answer": (
        "unit/test_backend_webdav.py::test_a_server_that_is_silent_is_given_up"
    ),
    "is no folder in MEGA": f"{_MEGA}::test_urls_that_cannot_be",
    "is not there in the MEGA account": f"{_MEGA}::test_a_folder_that_is_not_there_is_no_empty_one",
    "as MEGA does not": f"{_MEGA}::test_what_another_answers_is_no_answer",
    "MEGA answers ‹code›": f"{_MEGA}::test_an_api_that_stays_busy_is_given_up",
    "a storage server of MEGA": f"{_MEGA}::test_storage_servers_have_trouble_too",
    "the transfer quota of the MEGA": (
        f"{_MEGA}::test_a_used_up_quota_is_left_alone_until_its_time"
    ),
    "the MEGA account has no room": f"{_MEGA}::test_a_full_account_takes_nothing",
    "no account in MEGA is named": f"{_MEGA}::test_who_may_not_enter_is_told_why",
    "MEGA knows no such account": f"{_MEGA}::test_who_may_not_enter_is_told_why",
    "asks for a second factor": f"{_MEGA}::test_who_may_not_enter_is_told_why",
    "MEGA refuses it": f"{_MEGA}::test_codes_are_told_apart",
    "as no object store does": (
        "unit/test_object_marks.py::test_what_another_answers_is_no_answer"
    ),
    "this login does not show its folder": (
        "unit/test_gdrive_login.py::test_a_folder_that_is_not_shown"
    ),
    "its folder is not there, is in the trash": f"{_DRIVE}::test_a_folder_that_went_is_down",
    "a folder in its folder is gone": f"{_DRIVE}::test_a_folder_inside_that_went_is_made_anew",
    "goes away while it is written": f"{_DRIVE}::test_folders_that_always_go_are_given_up",
    "lists a part of its folder": f"{_DRIVE}::test_half_a_listing_is_none",
    "Google's token server answers": f"{_DRIVE}::test_a_token_server_in_trouble",
    "Google Drive asks us to come back": f"{_DRIVE}::test_refusals_are_told_apart",
    "as Google Drive does not answer": f"{_DRIVE}::test_what_another_answers_is_no_answer",
    "Google Drive has no room": f"{_DRIVE}::test_refusals_are_told_apart",
    "takes no more uploads": f"{_DRIVE}::test_a_day_has_so_many_bytes",
    "Google Drive refuses it": f"{_DRIVE}::test_refusals_are_told_apart",
    "‹what is wrong with its login›": f"{_DRIVE}::test_a_login_that_was_revoked",
    "its login in ‹file› cannot be read": f"{_DRIVE}::test_a_login_that_cannot_be_read",
    "as no WebDAV server does": (
        "unit/test_backend_webdav.py::test_what_another_answers_is_no_answer"
    ),
    "of the node on ‹host› is not there": f"{_IPFS}::test_only_create_makes_the_folder",
    "of the node on ‹host› is not the one": (
        f"{_IPFS}::test_a_node_that_was_set_up_anew_is_not_an_empty_one"
    ),
    "as no IPFS node does": f"{_IPFS}::test_another_name_for_a_block_is_noticed",
    "the node answers ‹command›": f"{_IPFS}::test_what_could_not_be_pinned_leaves_nothing",
    "the node has no room": f"{_IPFS}::test_a_full_node",
    "the node refuses us": f"{_IPFS}::test_a_token_is_sent_to_the_node",
    "the node refuses ‹command›": f"{_IPFS}::test_a_node_that_does_not_do_it",
    "the block ‹cid› (status": f"{_GATEWAY}::test_a_block_that_nobody_has_is_no_missing_key",
    "as no folder of ModelFloat's": f"{_GATEWAY}::test_a_root_that_is_no_folder",
    "serves us no raw block": f"{_GATEWAY}::test_a_gateway_that_serves_no_raw_blocks",
    "a gateway only reads": f"{_GATEWAY}::test_a_gateway_only_reads",
    "the gateway tells no time": f"{_GATEWAY}::test_a_gateway_without_a_clock",
    "the server answers ‹method›": "unit/test_backend_webdav.py::test_statuses_are_told_apart",
    "the server refuses ‹method›": "unit/test_backend_webdav.py::test_statuses_are_told_apart",
    "the server has no room": "unit/test_backend_webdav.py::test_statuses_are_told_apart",
    "the server refuses our credentials": (
        "unit/test_backend_webdav.py::test_refused_credentials_are_named_but_not_shown"
    ),
    "the directory ‹path› is not the one": (
        "unit/test_backend_local.py::test_an_unmounted_disk_is_not_an_empty_one"
    ),
    "its URL ‹problem›": "unit/test_object_urls.py::test_what_cannot_be_is_refused",
    "credentials do not belong": "unit/test_object_urls.py::test_secrets_are_refused_and_not_told",
    "has no bucket ‹bucket›": "unit/test_object_store.py::test_a_bucket_that_is_gone",
    "‹host› ‹reason›; check its URL": "unit/test_object_store.py::test_a_server_that_is_down",
    "has no room left": "unit/test_object_errors.py::test_texts_become_errors",
    "‹host› refuses it": "unit/test_object_store.py::test_keys_that_were_revoked",
    "its keys have characters": "unit/test_credentials.py::test_keys_that_cannot_be_are_refused",
    "no credentials for": "unit/test_credentials.py::test_none_at_all",
    "no keys for the profile": "unit/test_credentials.py::test_a_profile_without_keys",
}
