// The face of this room: everything that the server and the command line may ask for. Input and output are the contract's
// types; errors are AppErrors whose codes are named per method. Whatever takes long is a job.

import type { DatabaseSync } from 'node:sqlite';
import type { Clock, Logger, Secret } from '@varve/base';
import type {
  Alert,
  App,
  AppOverview,
  AppSnapshot,
  DatabaseChange,
  DiscoveredApp,
  DoctorCheck,
  DownloadFormat,
  Job,
  JobDetails,
  MadeRestorePoint,
  Maintenance,
  NewApp,
  NewRestorePoint,
  NewSnapshot,
  Policy,
  PrunePreview,
  RecoveryKit,
  RecoveryPlan,
  RecoveryRequest,
  RecoveryRun,
  RepositoryInfo,
  RestorePlan,
  RestoreRequest,
  RestoreRun,
  RetentionPreview,
  Sandbox,
  Settings,
  SettingsUpdate,
  SnapshotDetails,
  SnapshotFolder,
  StorageCheck,
  Timeline,
  TimelineQuery,
  VarveEvent,
  VerifyRequest,
  WalArchive,
  WalCapture,
  WalSettings,
} from '@varve/contract';

export interface TestStorage {
  /** The place of the repository in use when absent. */
  readonly place?: RepositoryPlace | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface OpenVarveOptions {
  /** Made with mode 0700 when missing. */
  readonly dataDirectory: string;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** Cancels the opening, not what runs afterwards. */
  readonly signal?: AbortSignal | undefined;
  /** Where the Docker Engine is, as in DOCKER_HOST; otherwise found as the docker command does. */
  readonly dockerHost?: string | undefined;
  /** Runs schedules, alerts and clean-up until disposed: for the server. The command line leaves it out. */
  readonly runInBackground?: boolean | undefined;
  /** Name of this host in snapshots, kept from the first start on; the system's name when absent. */
  readonly hostName?: string | undefined;
}

export interface Discovery {
  readonly apps: DiscoveredApp[];
  /** Why the Docker Engine could not be asked; null when it answered. */
  readonly dockerProblem: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
}

/** Where a repository is, and how it is reached; credentials come from the environment of the process. */
export interface RepositoryPlace {
  /** In restic's syntax: a folder, or what the storage room understands. */
  readonly location: string;
  /** Options of the storage, such as `s3.region` (docs/storages.md). */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  readonly uploadBytesPerSecond?: number | undefined;
  readonly downloadBytesPerSecond?: number | undefined;
}

export interface ConnectRepository extends RepositoryPlace {
  /** Generated when absent and `create` is set. */
  readonly password?: Secret | undefined;
  /** Makes a new repository there instead of opening one. */
  readonly create: boolean;
}

export interface FolderRequest {
  /** Absolute path in the snapshot; `/` when absent. */
  readonly path?: string | undefined;
  readonly offset?: number | undefined;
  /** 1000 when absent, 5000 at most. */
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DownloadRequest {
  readonly path: string;
  readonly format: DownloadFormat;
  /** Ends the reading too. */
  readonly signal?: AbortSignal | undefined;
}

/** A part of a snapshot on its way out. Dispose of it in any case: it holds a lock on the repository. */
export interface Download extends AsyncDisposable {
  /** A name for the file; may hold any character but a slash. */
  readonly name: string;
  /** Null for archives: not known before. */
  readonly bytes: number | null;
  /** Reads as it is read. When it throws, what came before is not whole and must not be used. */
  readonly content: AsyncIterable<Uint8Array>;
}

export interface TimelineRequest extends TimelineQuery {
  /** Lists the repository now. */
  readonly fresh?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WaitForJob {
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: VarveEvent) => void) | undefined;
}

/**
 * An open installation. Several processes may have the same one open. Disposing it starts no further job, cancels those
 * that run in this process, and waits until they have cleaned up.
 */
export interface Varve extends AsyncDisposable {
  readonly version: string;
  readonly dataDirectory: string;
  /** Name of this host in snapshots. */
  readonly hostName: string;

  /** Apps that could be added. A Docker Engine that does not answer is part of the result, not an error. */
  discoverApps(options?: { readonly signal?: AbortSignal | undefined }): Promise<Discovery>;
  /** Makes the default local repository first when there is none. APP_EXISTS, APP_INVALID, APP_NOT_FOUND, SETTINGS_INVALID. */
  addApp(input: NewApp): Promise<App>;
  /** By name. */
  listApps(): Promise<AppOverview[]>;
  /** APP_NOT_FOUND. */
  getApp(appId: string): Promise<AppOverview>;
  /** Forgets the app here; its snapshots stay in the repository. APP_NOT_FOUND, APP_BUSY. */
  removeApp(appId: string): Promise<void>;
  /** APP_NOT_FOUND, SETTINGS_INVALID for a cron expression or time zone that does not exist. */
  updatePolicy(appId: string, policy: Policy): Promise<App>;
  /** How a database is saved from its next snapshot on. APP_NOT_FOUND, APP_INVALID. */
  updateDatabase(appId: string, component: string, change: DatabaseChange): Promise<App>;

  /** Newest first. APP_NOT_FOUND. */
  listSnapshots(appId: string): Promise<AppSnapshot[]>;
  /** By id, unique beginning of an id, or `latest`. SNAPSHOT_NOT_FOUND, SNAPSHOT_AMBIGUOUS. */
  getSnapshot(appId: string, name: string): Promise<SnapshotDetails>;
  /** How the capture of write-ahead log stands, one for each database that has it on; of all apps when none is named. APP_NOT_FOUND. */
  listWalCaptures(appId?: string): Promise<WalCapture[]>;
  /**
   * Turns the capture of a database's log on or off, of all databases of the app when none is named: streamed, or through a folder
   * that its archive_command fills. Off drops the slot, now or when its server answers. APP_NOT_FOUND; APP_INVALID when there is no
   * such database or its server cannot be captured; DATABASE_… when it cannot be asked.
   */
  setWalCapture(
    appId: string,
    change: {
      readonly enabled: boolean;
      readonly component?: string | undefined;
      readonly archive?: WalArchive | undefined;
    },
  ): Promise<App>;
  /**
   * What a server needs so that its log comes into a folder, and what of it is missing now; changes nothing. The folder that is set
   * when none is given. APP_NOT_FOUND; APP_INVALID when it is not clear which database or folder is meant.
   */
  walSettings(
    appId: string,
    options?: { readonly component?: string | undefined; readonly archive?: WalArchive | undefined },
  ): Promise<WalSettings>;
  /** A folder of a snapshot, folders first. PATH_NOT_FOUND; the errors of `getSnapshot`. */
  listSnapshotFolder(appId: string, name: string, request?: FolderRequest): Promise<SnapshotFolder>;
  /** A file, or a folder as an archive. PATH_NOT_FOUND, REPOSITORY_LOCKED; the errors of `getSnapshot`. */
  openDownload(appId: string, name: string, request: DownloadRequest): Promise<Download>;
  /** Runs in this process. APP_BUSY when the app has a job already; its context has `jobId`. */
  startSnapshot(appId: string, input: NewSnapshot, requestedBy: string): Promise<Job>;

  /**
   * What the app can be brought back to. Answers from what was read of the repository within the last minute unless `fresh`.
   * APP_NOT_FOUND; the storage's errors.
   */
  timeline(appId: string, request?: TimelineRequest): Promise<Timeline>;

  /**
   * Has a captured database write a named point into its log; it can be recovered to when it is in the repository. WAL_POINT_EXISTS,
   * SETTINGS_INVALID when no database is captured, USAGE_INVALID when several are and none is named, DATABASE_… .
   */
  createRestorePoint(
    appId: string,
    point: NewRestorePoint,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<MadeRestorePoint>;
  /** Resolves when the point is in the repository; it waits for as long as nothing is captured. CANCELLED. */
  waitForRestorePoint(appId: string, point: MadeRestorePoint, options: { readonly signal: AbortSignal }): Promise<void>;

  /** Looks and changes nothing. */
  planRestore(appId: string, request: RestoreRequest): Promise<RestorePlan>;
  /** The job fails with RESTORE_PLAN_STALE, before anything is touched, when the plan is another one now. */
  startRestore(appId: string, run: RestoreRun, requestedBy: string): Promise<Job>;

  /**
   * What a recovery of a database to a point in time would do; looks and changes nothing. RECOVERY_UNREACHABLE with the nearest
   * points, RECOVERY_POINT_AMBIGUOUS, RESTORE_TARGET_INVALID for a destination that cannot be.
   */
  planRecovery(appId: string, request: RecoveryRequest): Promise<RecoveryPlan>;
  /** The job fails with RESTORE_PLAN_STALE, before anything is touched, when the plan is another one now. */
  startRecovery(appId: string, run: RecoveryRun, requestedBy: string): Promise<Job>;
  /** Servers beside the apps that recoveries made, the newest first. */
  listSandboxes(): Promise<Sandbox[]>;
  /** Ends the pause of a sandbox: from then on it takes changes. SANDBOX_NOT_FOUND, RECOVERY_FAILED. */
  promoteSandbox(id: string): Promise<Sandbox>;
  /** Stops its server and deletes all of it. SANDBOX_NOT_FOUND; APP_BUSY while it is being made. */
  removeSandbox(id: string): Promise<void>;
  /** Recovers into a sandbox, looks at the data, removes the sandbox. The job fails with VERIFY_FAILED when a check does. */
  startVerify(appId: string, request: VerifyRequest, requestedBy: string): Promise<Job>;

  /** What the app's retention would remove now. */
  previewRetention(appId: string): Promise<RetentionPreview>;
  /** Removes what the preview showed. RETENTION_PLAN_STALE when the preview is another one now. */
  startForget(appId: string, run: { readonly fingerprint: string }, requestedBy: string): Promise<Job>;
  /** Checks the repository; APP_BUSY when it is being checked or pruned. The job fails with REPOSITORY_DAMAGED when it found errors. */
  startCheck(options: { readonly readData: boolean }, requestedBy: string): Promise<Job>;

  /** What a prune would remove now; looks only. REPOSITORY_NOT_FOUND, REPOSITORY_LOCKED, REPOSITORY_DAMAGED. */
  previewPrune(options?: { readonly signal?: AbortSignal | undefined }): Promise<PrunePreview>;
  /** Gives back the space of what no snapshot uses; never more than that. APP_BUSY when it is being checked or pruned. */
  startPrune(requestedBy: string): Promise<Job>;
  /** What was done for the repository last and what is done next by schedule; null when there is none yet. */
  getMaintenance(): Promise<Maintenance | null>;

  /** Newest first; `before` is the id of a job. At most `limit`, 50 unless given. */
  listJobs(filter?: {
    readonly appId?: string | undefined;
    readonly limit?: number | undefined;
    readonly before?: string | undefined;
  }): Promise<Job[]>;
  /** JOB_NOT_FOUND. */
  getJob(jobId: string): Promise<JobDetails>;
  /** Asks the job to stop, in whatever process it runs; it ends within some seconds. Does nothing to one that ended. */
  cancelJob(jobId: string): Promise<Job>;
  /** Resolves when the job has ended, however it ended. CANCELLED when `signal` aborts; the job runs on. */
  waitForJob(jobId: string, options?: WaitForJob): Promise<Job>;
  /** Changes from now on, of this and of other processes on the same data directory. Ends when `signal` aborts. */
  events(options: { readonly signal: AbortSignal }): AsyncIterable<VarveEvent>;

  /** Newest first; only open ones when `open` is true, only closed ones when false. */
  listAlerts(filter?: { readonly open?: boolean | undefined }): Promise<Alert[]>;

  /** null when there is none yet. */
  getRepository(): Promise<RepositoryInfo | null>;
  /** REPOSITORY_NOT_FOUND when there is none yet. The caller makes sure of who asks. */
  recoveryKit(): Promise<RecoveryKit>;
  confirmRecoveryKit(): Promise<void>;
  /**
   * Tries whether a place does what a repository relies on, with small files that are removed again; yields each check as it
   * ends, failed ones too. REPOSITORY_NOT_FOUND without a place; APP_BUSY while another test runs; CANCELLED.
   */
  testStorage(options?: TestStorage): AsyncGenerator<StorageCheck>;
  /** Connects the repository of this installation. REPOSITORY_EXISTS when one is connected and apps use it. */
  connectRepository(options: ConnectRepository): Promise<RepositoryInfo>;

  getSettings(): Promise<Settings>;
  /** SETTINGS_INVALID. An absent `emailPassword` keeps the one that is set; an empty one removes it. */
  updateSettings(update: SettingsUpdate): Promise<Settings>;
  /** EMAIL_FAILED, SETTINGS_INVALID when e-mail is not set up. */
  sendTestEmail(): Promise<void>;

  doctor(): Promise<DoctorCheck[]>;
  /** Reads the manifests in the repository again. */
  rebuildCatalogue(): Promise<{ readonly apps: number; readonly snapshots: number }>;

  /** Opens the database for accounts and sessions (a file of its own, mode 0600); the caller closes it. */
  openAccountsDatabase(): DatabaseSync;
  /** A random secret of 256 bits that is made at the first call and kept sealed, e.g. to sign sessions. */
  serverSecret(name: string): Promise<Secret>;
}
