// The one table of error codes: each names its area and reason, the exit code of the CLI, and the HTTP status of the
// API. docs/errors.md says for each what to do. Exit codes 1, 3, 10, 11, 12 and 130 mean what they mean in restic.

interface ErrorCodeFacts {
  readonly exit: number;
  readonly http: number;
}

export const errorCodes = {
  INTERNAL: { exit: 1, http: 500 },
  CANCELLED: { exit: 130, http: 499 },
  USAGE_INVALID: { exit: 2, http: 400 },
  RESULT_PARTIAL: { exit: 3, http: 500 },

  STORAGE_LOCATION_INVALID: { exit: 2, http: 400 },
  STORAGE_FILE_NOT_FOUND: { exit: 5, http: 404 },
  STORAGE_FILE_EXISTS: { exit: 5, http: 409 },
  STORAGE_DENIED: { exit: 5, http: 502 },
  STORAGE_FULL: { exit: 5, http: 507 },
  STORAGE_UNREACHABLE: { exit: 5, http: 502 },
  STORAGE_DAMAGED: { exit: 5, http: 502 },

  REPOSITORY_NOT_FOUND: { exit: 10, http: 404 },
  REPOSITORY_EXISTS: { exit: 2, http: 409 },
  REPOSITORY_PASSWORD_WRONG: { exit: 12, http: 403 },
  REPOSITORY_PASSWORD_MISSING: { exit: 12, http: 400 },
  REPOSITORY_VERSION_UNSUPPORTED: { exit: 2, http: 422 },
  REPOSITORY_LOCKED: { exit: 11, http: 423 },
  REPOSITORY_LOCK_LOST: { exit: 11, http: 423 },
  REPOSITORY_DAMAGED: { exit: 6, http: 500 },
  REPOSITORY_KEY_NOT_FOUND: { exit: 4, http: 404 },
  REPAIR_COPY_FAILED: { exit: 1, http: 500 },
  SNAPSHOT_NOT_FOUND: { exit: 4, http: 404 },
  SNAPSHOT_AMBIGUOUS: { exit: 2, http: 400 },
  PATH_NOT_FOUND: { exit: 4, http: 404 },

  ARCHIVE_SOURCE_MISSING: { exit: 4, http: 422 },
  ARCHIVE_PRODUCER_FAILED: { exit: 1, http: 502 },
  RESTORE_TARGET_INVALID: { exit: 2, http: 400 },
  RESTORE_PATH_UNSAFE: { exit: 6, http: 422 },
  RESTORE_PLAN_STALE: { exit: 2, http: 409 },
  RESTORE_FAILED: { exit: 1, http: 500 },
  RETENTION_PLAN_STALE: { exit: 2, http: 409 },
  RECOVERY_UNREACHABLE: { exit: 4, http: 422 },
  RECOVERY_POINT_AMBIGUOUS: { exit: 2, http: 409 },
  RECOVERY_FAILED: { exit: 8, http: 500 },
  SANDBOX_NOT_FOUND: { exit: 4, http: 404 },
  VERIFY_FAILED: { exit: 8, http: 500 },

  DOCKER_UNREACHABLE: { exit: 7, http: 502 },
  DOCKER_REQUEST_FAILED: { exit: 7, http: 502 },
  DOCKER_NOT_FOUND: { exit: 7, http: 404 },
  DOCKER_COMMAND_FAILED: { exit: 7, http: 502 },
  DOCKER_UNHEALTHY: { exit: 7, http: 504 },

  DATABASE_UNREACHABLE: { exit: 8, http: 502 },
  DATABASE_AUTH_FAILED: { exit: 8, http: 502 },
  DATABASE_DENIED: { exit: 8, http: 502 },
  DATABASE_DUMP_FAILED: { exit: 8, http: 502 },
  DATABASE_BACKUP_MISMATCH: { exit: 8, http: 502 },
  DATABASE_RESTORE_FAILED: { exit: 8, http: 502 },
  DATABASE_TOOL_MISSING: { exit: 8, http: 502 },
  DATABASE_PROTOCOL: { exit: 8, http: 502 },
  DATABASE_QUERY_FAILED: { exit: 8, http: 502 },
  WAL_SLOT_UNUSABLE: { exit: 8, http: 409 },
  WAL_GAP: { exit: 8, http: 409 },
  WAL_DIVERGED: { exit: 8, http: 409 },
  WAL_POINT_EXISTS: { exit: 2, http: 409 },
  WAL_INVALID: { exit: 6, http: 422 },
  WAL_SPOOL_FAILED: { exit: 8, http: 500 },
  WAL_ARCHIVE_FAILED: { exit: 8, http: 409 },

  CODE_FAILED: { exit: 1, http: 502 },
  COMMAND_FAILED: { exit: 1, http: 502 },

  APP_NOT_FOUND: { exit: 4, http: 404 },
  APP_EXISTS: { exit: 2, http: 409 },
  APP_BUSY: { exit: 11, http: 409 },
  APP_INVALID: { exit: 2, http: 422 },
  JOB_NOT_FOUND: { exit: 4, http: 404 },
  JOB_INTERRUPTED: { exit: 1, http: 500 },
  CATALOGUE_UNUSABLE: { exit: 1, http: 500 },
  SETTINGS_INVALID: { exit: 2, http: 422 },
  EMAIL_FAILED: { exit: 1, http: 502 },

  AUTH_REQUIRED: { exit: 1, http: 401 },
  AUTH_INVALID: { exit: 1, http: 401 },
  AUTH_FORBIDDEN: { exit: 1, http: 403 },
  AUTH_SETUP_DONE: { exit: 1, http: 409 },
  AUTH_RATE_LIMITED: { exit: 1, http: 429 },
  SERVER_ADDRESS_IN_USE: { exit: 2, http: 500 },
  REQUEST_NOT_FOUND: { exit: 4, http: 404 },
  REQUEST_TOO_LARGE: { exit: 2, http: 413 },
  REQUEST_TIMEOUT: { exit: 1, http: 504 },
} as const satisfies Record<string, ErrorCodeFacts>;

/** A stable name of what went wrong, `AREA_REASON`; a key of {@link errorCodes}. */
export type ErrorCode = keyof typeof errorCodes;
