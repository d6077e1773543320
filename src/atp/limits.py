"""Every bound of the platform, unit in its name; the assertions below say how bounds relate."""

# Entries and events
ENTRY_BYTES_MAX = 65_535  # C2SP tlog-tiles: an entry's length is a big-endian u16
EVENT_ID_CHARS_MAX = 200
EVENT_DEPTH_MAX = 64
DATA_DEPTH_MAX = 256
FIELD_CHARS_MAX = 8_192  # one string outside `data`

# Doors
CONNECTIONS_MAX = 1_024
HEAD_BYTES_MAX = 64 * 1024  # request line and headers
HEAD_SECONDS_MAX = 20
BODY_SECONDS_MAX = 120
BODIES_BYTES_MAX = 256 * 1024 * 1024  # of all requests whose bodies are being read, packed and unpacked
BODY_BYTES_MAX = 32 * 1024 * 1024
BODY_UNPACKED_BYTES_MAX = 64 * 1024 * 1024
GZIP_MEMBERS_MAX = 10_000  # of one body; each costs time however little is in it
BATCH_EVENTS_MAX = 10_000
ERRORS_LISTED_MAX = 1_000
PAGE_EVENTS_DEFAULT = 50
PAGE_EVENTS_MAX = 1_000
QUERY_TEXT_CHARS_MAX = 1_000
QUERY_WORDS_MAX = 32
WAIT_SECONDS_MAX = 60
DEAD_LETTERS_DEFAULT = 100
DEAD_LETTERS_MAX = 1_000
EXPORT_ENTRIES_MAX = 1_000_000
KEY_TENANTS_MAX = 500  # that one key names; their names go into one entry of the operators' trail
TRAIL_QUESTION_CHARS_MAX = 512  # of each parameter that the trail keeps
TRAIL_QUESTIONS_MAX = 1_000  # different questions of one person that the operators' trail tells apart in a minute

# Pages
SESSIONS_MAX = 1_000
TICKETS_MAX = 100
FORM_BYTES_MAX = 16 * 1024
LOGIN_FAILURES_MAX = 10  # of one address in a minute
LOGIN_ADDRESSES_MAX = 10_000
LOOK_SECONDS_MAX = 0.5  # that a page of events looks further by itself while it is not full
LOGS_SHOWN_MAX = 200  # rows of a page, names in a list to choose from

# The path
QUEUE_EVENTS_MAX = 100_000  # waiting for the group commit, over all tenants
QUEUE_BYTES_MAX = 256 * 1024 * 1024
GROUP_EVENTS_MAX = 20_000  # one commit group; one transaction
GROUP_BYTES_MAX = 64 * 1024 * 1024
LAG_SECONDS_MAX = 0.7  # an entry that no view has seen is older than this: commit groups wait
PUBLISH_PAUSE_SECONDS = 0.05  # between two checkpoints, so that each covers what came meanwhile
INTEGRATE_ENTRIES_MAX = 16_384  # entries of one log that one integrate step takes
FOLLOW_ENTRIES_MAX = 8_192
SCAN_FRAMES_MAX = 20  # frames that one page of a query may read before it hands out a cursor
LOG_KEYS_MAX = 2  # that sign one log at once

# Watching over itself
INTEGRITY_STEP_ENTRIES = 4_096  # entries of one log that the standing verification takes in one step
INTEGRITY_ROUND_SECONDS_MIN = 60.0  # from the start of one round over all logs to that of the next
INTEGRITY_SHARE_MAX = 0.05  # of one core that the standing verification takes
INTEGRITY_BUSY_SECONDS_MAX = 60.0  # that a busy server puts the next step off
INTEGRITY_RUNS_MAX = 16  # verifications on demand whose reports are kept
REASON_CHARS_MAX = 1_000  # why somebody braked, or restored
KNOWN_NOTE_BYTES_MAX = 8 * 1024  # of a checkpoint that is given to a restore: an entry of its log will hold it
CLOCK_BACK_SECONDS_MAX = 0.5  # that the wall clock may lose against the monotonic one before it is called a step
CLOCK_AHEAD_SECONDS_MAX = 60.0

# The operators' trail
EXPECT_RESOURCES_MAX = 16  # that one request may name
EXPECT_EVENTS_MAX = 100  # of a request that expects something
ACTS_EVENTS_MAX = 100_000  # of the operators' log that are read, newest first, to list acts
SPOOL_LINES_MAX = 10_000  # that wait on a machine; then acts are refused
SPOOL_GROUP_LINES = 256  # that are sent at once: at most 16 MiB
SERVER_REST_SECONDS = 10.0  # that a server which did not answer is left alone
NOTED_SECONDS = 60.0  # between two looks for checkpoints that are new
NOTED_ENTRY_BYTES_MAX = 60_000  # of one list of new checkpoints, less than an entry may have
NOTED_STEP_ENTRIES = 4_096  # of the operators' log that one look reads

STATEMENT_BYTES_MAX = 512 * 1024  # of one that the installation signs
STATEMENT_SUBJECTS_MAX = 16

# What people declare in YAML
DECLARATION_BYTES_MAX = 256 * 1024
ESTATE_PART_CHARS = 10_000  # of the text of an estate file, that one event takes
ESTATE_PARTS_MAX = -(-DECLARATION_BYTES_MAX // ESTATE_PART_CHARS)
DECLARATION_DEPTH_MAX = 16
DECLARATION_NODES_MAX = 20_000
DECLARATION_TEXT_CHARS_MAX = 4_096  # one text
DECLARATION_FAULTS_MAX = 200  # that are listed

# Backups
REPOSITORY_CHUNK_BYTES = 1024 * 1024  # of an object, that is read at once
REPOSITORY_PIECE_BYTES = 16 * 1024 * 1024  # of an object, that is sent to an S3 server at once
REPOSITORY_PIECES_MAX = 10_000  # of one object: what S3 allows
BACKUP_PART_BYTES_MAX = 1024 * 1024 * 1024  # of the stream of a backup, that is one object
BACKUP_PARTS_MAX = 100_000
BACKUP_MANIFEST_BYTES_MAX = 32 * 1024 * 1024
BACKUP_LINE_BYTES_MAX = 1024 * 1024  # about one file, in the list of what a backup holds
BACKUP_PAX_BYTES_MAX = 1024 * 1024  # of the extended header of one file
BACKUP_NAME_BYTES_MAX = 16 * 1024  # of the path of one file below its root: longer ones cannot be restored
BACKUP_ORPHAN_SECONDS = 2 * 86_400  # after which a backup that nobody finished is removed
SHIPPED_NAMES_MAX = 64  # objects that one event says are shipped
SHIPPED_BATCH_BYTES = 16 * 1024 * 1024  # of them, sealed, that are kept in memory until they are stored: and one more
RECORDED_EVENTS_MAX = 1_000_000  # of the operators' trail that are read to know what was shipped after one backup
RECORDED_SKEW_SECONDS = 3_600  # that the clocks of the server and of whoever backs up may differ
FOLLOWED_FILE_BYTES_MAX = 64 * 1024 * 1024  # what a follower notes of what it shipped: 10,000 logs take 1 MB
FOLLOWED_PLAIN_BYTES_MIN = 1024 * 1024 * 1024  # that may come out of any increment of a trail,
FOLLOWED_PLAIN_RATIO_MAX = 100  # and so many more for each byte of it: entries are packed before
POSTGRESQL_ASK_SECONDS = 3_600  # that one question to a server may take
POSTGRESQL_ANSWER_BYTES_MAX = 8 * 1024 * 1024
POSTGRESQL_HISTORY_BYTES_MAX = 1024 * 1024  # of the history of a timeline: a line for each before it
POSTGRESQL_START_SECONDS = 24 * 3_600  # that a server may take to replay its log
POSTGRESQL_SEGMENTS_AHEAD = 4  # of the log that are fetched before a server asks for them: as many files, and threads
ERASABLE_RETENTION_DAYS_MAX = 30  # that a copy of keys may outlive them: then what they opened is erased
BACKUP_WARNINGS_MAX = 20  # that are told one by one
RESTORED_BYTES_MAX = 16 * 1024 * 1024  # what a copy of a data directory says of itself: 400 bytes a tenant
GENERATION_MAX = 999_999  # of a log: one more for each restore of its directory

# Drills
HEARTBEATS_MAX = 5_000  # that a dataset keeps: older ones are removed, of the ledger nothing is
HEARTBEAT_LINE_BYTES_MAX = 1_024
LEDGER_LINES_MAX = 10_000_000  # that are read of the ledger: 19 years of one a minute
DRILL_ASK_SECONDS = 6 * 3_600  # that the questions to a restored copy may take
DRILL_ANSWER_BYTES_MAX = 8 * 1024 * 1024
DRILL_MEMORY_BYTES_MAX = 4 * 1024 * 1024 * 1024  # that each process behind the fence may take
DRILL_REACH_SECONDS = 2.0  # that one way out of the fence is tried
DRILL_ADDRESSES_MAX = 256  # of production, that are tried
DRILL_RAW_COPY_BYTES_MAX = 1024 * 1024 * 1024  # that are copied to know how fast the disk is
DRILL_SLOTS_MAX = 100  # missed ones, the newest, that one record lists
DRILLS_READ_MAX = 100_000  # that are read of the operators' trail
DRILL_TOLD_CHARS_MAX = 500  # of one sentence in the evidence
DRILL_ENVELOPE_BYTES_MAX = 1024 * 1024
LOCK_ANSWER_CHARS_MAX = 200  # of what a store says to one attempt on its lock

# The estate in the server
ESTATE_LOOK_SECONDS = 2.0  # between two looks whether the declared file changed
ESTATE_FAULTS_TOLD_MAX = 20  # of a file that is refused, in the log of the server
EVIDENCE_FRESH_SECONDS = 1.0  # that what is known of an estate is answered again without a look
EVIDENCE_PAGES_MAX = 20  # of the operators' trail, for each action of a dataset that is new; a page reads 20 frames
EVIDENCE_FACTS_MAX = 500  # of copies of one dataset that say different things
EVIDENCE_FACT_BYTES_MAX = 4 * 1024
EVIDENCE_DRILLS_MAX = 256  # of one dataset, the newest; and as many reviews of them
REVIEWS_SHOWN_MAX = 20  # of one drill, the newest
DRILLS_DEFAULT = 20
DRILLS_MAX = 100  # that one answer or page shows whole
GRAPH_NODES_MAX = 80  # that are drawn; a table has them all
DUE_LOOK_SECONDS = 60.0  # between two looks at what is due
RUN_SECONDS_MAX = 12 * 3_600  # that a backup or a drill which the server began may take
RUN_TAIL_BYTES = 4 * 1024  # of what it said, that is kept in the log of the server

# Units of the log: C2SP tile width; frames are what the views index and what one decompression costs
TILE_WIDTH = 256
FRAME_ENTRIES = 64
SEGMENT_ENTRIES = 65_536

assert TILE_WIDTH % FRAME_ENTRIES == 0, "a bundle is a whole number of frames"
assert SEGMENT_ENTRIES == TILE_WIDTH * TILE_WIDTH, "a segment is one level-1 tile"
assert BATCH_EVENTS_MAX <= GROUP_EVENTS_MAX <= QUEUE_EVENTS_MAX
assert BODY_BYTES_MAX + BODY_UNPACKED_BYTES_MAX <= BODIES_BYTES_MAX
assert BODY_UNPACKED_BYTES_MAX <= GROUP_BYTES_MAX <= QUEUE_BYTES_MAX
assert EVENT_DEPTH_MAX <= DATA_DEPTH_MAX
assert SPOOL_GROUP_LINES <= BATCH_EVENTS_MAX and SPOOL_GROUP_LINES * ENTRY_BYTES_MAX <= BODY_BYTES_MAX
assert EXPECT_EVENTS_MAX < PAGE_EVENTS_MAX, "a page tells what is newer than the request's own events"
assert INTEGRITY_STEP_ENTRIES % TILE_WIDTH == 0, "a step ends with a bundle"
assert INTEGRATE_ENTRIES_MAX % TILE_WIDTH == 0 and FOLLOW_ENTRIES_MAX % FRAME_ENTRIES == 0
assert ESTATE_PART_CHARS * 6 + 2_000 < ENTRY_BYTES_MAX, "no character takes more than 6 bytes in JSON"
assert SHIPPED_NAMES_MAX * 512 < ENTRY_BYTES_MAX, "a name has less than 512 bytes, and one event takes them"
assert REPOSITORY_PIECE_BYTES * REPOSITORY_PIECES_MAX >= BACKUP_PART_BYTES_MAX
