"""What needs a mount, a second process or a failing disk, and the tests that provoke it."""

_SITES = "faults/test_two_sites.py"
_HF = "unit/test_hf_import.py"
_CHANGING = "unit/test_changing_files.py"
_LONG = "faults/test_long_objects.py"
_ENDLESS = "faults/test_endless_journals.py"
_TRANSFER = "unit/test_transfer.py"

ELSEWHERE: dict[str, str] = {
    "=backend ‹name› did not answer within ‹seconds› s@UnavailableError": (
        "faults/test_joining.py::test_a_place_that_hangs_is_not_waited_for"
    ),
    "and so short a grace period would delete": (
        "faults/test_mounts_elsewhere.py::test_nothing_is_deleted_at_once_beside_a_mount_elsewhere"
    ),
    "changes at once are more than a record": (
        "unit/test_longest.py::test_changes_that_no_record_holds_are_refused_and_others_parted"
    ),
    "not the store's below journal": f"{_ENDLESS}::test_a_listing_without_end_ends",
    "keys below ‹folder›, as many as": f"{_ENDLESS}::test_what_is_condemned_without_end_ends",
    "a session of the site ‹id› has more": f"{_ENDLESS}::test_a_session_without_end_ends",
    "more journal records are new here": (
        f"{_ENDLESS}::test_where_all_tell_without_end_a_command_says_so"
    ),
    "sessions, as many as nobody": f"{_LONG}::test_sessions_without_end_are_not_held",
    "mounts of other sites have more than": f"{_LONG}::test_mounts_without_end_are_not_held",
    "files open, more than it can name": (
        "faults/test_mounts_elsewhere.py::test_a_mount_that_cannot_name_all_keeps_everything"
    ),
    "its objects are gone or damaged": f"{_TRANSFER}::test_objects_that_are_gone_are_named",
    "no backend takes new shards": (
        "faults/test_backend_states.py::test_where_none_takes_shards_that_is_what_is_told"
    ),
    "before this process was forked": "unit/test_api.py::test_a_forked_process_is_told",
    "what a mount of this store shows": (
        "mount/test_add_from_mount.py::test_a_mount_is_no_source_for_its_own_store"
    ),
    "the mount on ‹path› does not say": (
        "mount/test_commands_and_mounts.py::test_gc_refuses_while_a_mount_cannot_be_asked"
    ),
    "the site ‹id› writes": f"{_SITES}::test_who_does_not_wait_deletes_nothing_beside_an_add",
    "none of these decides": (
        f"{_SITES}::test_without_a_ref_home_two_heads_are_seen_and_neither_is_lost"
    ),
    "read-only nothing can be recorded": (
        "unit/test_journal_copies.py::test_a_record_is_refused_where_it_might_not_be_found"
    ),
    "this command stood still": (f"{_SITES}::test_who_slept_before_its_ref_moved_does_not_move_it"),
    "was not tried: it may be": (
        f"{_SITES}::test_a_bucket_that_was_not_tried_may_be_the_home_of_others"
    ),
    "which decides who": (
        f"{_SITES}::test_with_the_ref_home_down_nothing_is_deleted_where_others_may_be"
    ),
    "what another site has stored cannot be read": (
        f"{_SITES}::test_what_a_session_stored_that_cannot_be_read_ends_a_collection"
    ),
    "and ‹name› decides who of them goes first": (
        f"{_SITES}::test_what_decides_between_sites_stays_on_the_list"
    ),
    "sessions cannot be listed": f"{_SITES}::test_sessions_that_cannot_be_listed_end_a_collection",
    "leaves no number for the next lease": (
        "unit/test_lease.py::test_a_number_without_a_next_is_told"
    ),
    "lease is held by the site": (
        "unit/test_lease.py::test_who_does_not_want_to_wait_is_told_who_has_it"
    ),
    "this command lost the lease": (
        "unit/test_lease.py::test_a_dead_holders_lease_is_taken_over_only_when_it_ended"
    ),
    "closed while a file was": "unit/test_reader.py::test_a_store_that_is_closed_says_so",
    "a store ‹is mounted›": "mount/test_cli_mount.py::test_mounting_twice_is_refused",
    "inside the store mounted on": "mount/test_umount.py::test_only_a_folder_outside_is_mounted_on",
    "inside the store ‹path›;": "mount/test_umount.py::test_only_a_folder_outside_is_mounted_on",
    "does not answer, and programs wait": (
        "mount/test_umount.py::test_a_mount_that_hangs_is_told_and_can_be_hidden"
    ),
    "is in use; end what uses it": "mount/test_umount.py::test_who_uses_it_is_listed",
    "made several heads one": "unit/test_refs_by_hand.py::test_heads_made_one_are_not_two_again",
    "had is gone": "unit/test_refs_by_hand.py::test_what_gc_deleted_does_not_come_back",
    "reaches ‹commit› any more": "unit/test_moving_refs.py::test_what_no_ref_reaches_is_not_named",
    "moved meanwhile to": "unit/test_moving_refs.py::test_who_saw_an_older_head_is_told_who_won",
    "was removed meanwhile": "unit/test_moving_refs.py::test_what_was_removed_meanwhile_is_told",
    "has several heads": "fs/test_fs_names.py::test_a_branch_of_two_heads_is_an_error_not_a_choice",
    "written by another get": "unit/test_get.py::test_two_at_once_do_not_write_one_file",
    "contradicts itself in": "faults/test_index_damage.py::test_a_row_that_contradicts_itself",
    "‹index› cannot be used": "unit/test_index_access.py::test_a_damaged_index_is_not_read",
    "was made anew meanwhile": (
        "faults/test_gc_and_others.py::test_a_store_whose_index_was_made_anew_is_opened_again"
    ),
    "in git, expected is": f"{_HF}::test_a_damaged_snapshot_is_refused_and_the_rest_goes_on",
    "the index in ‹path› needs about": (
        "unit/test_add_preflight.py::test_an_index_without_room_is_told"
    ),
    "‹index› cannot be written": "faults/test_index_damage.py::test_no_room_for_the_file_to_grow",
    "‹index› has filled": "faults/test_index_damage.py::test_a_full_map",
    "‹changed› while": f"{_CHANGING}::test_one_that_does_not_stay_is_left_out",
    "=‹file›: ‹reason›@SourceUnreadableError": (
        f"{_CHANGING}::test_one_that_may_not_be_read_is_named"
    ),
    "links to a blob": f"{_HF}::test_a_damaged_snapshot_is_refused_and_the_rest_goes_on",
    "has the SHA-256": f"{_HF}::test_a_damaged_snapshot_is_refused_and_the_rest_goes_on",
    "another folder added a backend ‹name› to": (
        "faults/test_places_of_many.py::test_a_name_that_another_folder_took_is_refused"
    ),
    "which another folder added; give it": (
        "faults/test_places_of_many.py::test_a_name_that_another_folder_took_is_refused"
    ),
    "others of this store use it": (
        "faults/test_places_of_many.py::test_what_cannot_be_used_here_is_known_to_be_there"
    ),
    "network filesystem": "faults/test_index_damage.py::test_network_filesystems_are_refused",
    "another code; install reedsolo": (
        "unit/test_erasure_generator.py::test_a_reedsolo_that_computes_another_code_is_refused"
    ),
    "took longer than": "unit/test_backend_limit.py::test_a_call_that_hangs_is_unavailable",
    "the journal was closed": (
        "faults/test_writers.py::test_after_a_failure_a_journal_takes_nothing_more"
    ),
    "=pack ‹id›: ‹left› of ‹all› shards are gone, ‹needed› are needed (gone: ‹shards›)": (
        "faults/test_lost_backends.py::test_three_lost_is_an_error"
    ),
    "are needed (gone: ‹shards›); run": (
        "faults/test_lost_backends.py::test_backends_vanish_under_an_open_store"
    ),
    "temporary file of a comparison": "unit/test_diff.py::test_a_full_disk_is_told",
    "reads back otherwise": "unit/test_get.py::test_a_disk_that_garbles_is_noticed",
    "is read-only: ‹reason›": "unit/test_index_access.py::test_what_cannot_be_written_is_read",
    "cannot be applied to the index": (
        "faults/test_lost_tails.py::test_gc_deletes_nothing_that_a_rebuild_would_find_again"
    ),
    "refs that it made may be missing": (
        "faults/test_lost_tails.py::test_refs_of_lost_records_may_be_added_again_before_gc"
    ),
    "bytes are to be written": "unit/test_get.py::test_no_room_is_told_before_anything_is_written",
    "=‹file›: ‹reason›@ModelFloatError": "unit/test_get.py::test_a_full_disk_names_the_file",
}
