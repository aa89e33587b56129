export { describeStorageContract, type StorageUnderTest } from './storage-contract.ts';
export { FaultyStorage, type FaultKind, type FaultPlan, type MutatingCall } from './faulty-storage.ts';
export { FakeClock } from './fake-clock.ts';
export { startMailSink, type MailSink, type ReceivedMail } from './mail-sink.ts';
export { dockerLab, dockerLabVariables, suiteName, type DockerLab } from './docker-lab.ts';
export { startBusinessApp, findComposeCommand, type BusinessApp, type BusinessAppOptions } from './business-app.ts';
export {
  resticAvailable,
  resticCommand,
  runRestic,
  runResticJson,
  expectResticCheck,
  type ResticOptions,
  type ResticRepository,
  type ResticResult,
} from './restic.ts';
export {
  findPostgresBinaries,
  findOutermostMajors,
  findPostgresMajors,
  startPostgres,
  type PostgresBinaries,
  type PostgresServer,
  type PostgresServerOptions,
} from './postgres-lab.ts';
export { describeTree, type DescribeTreeOptions } from './compare-trees.ts';
export {
  freePort,
  quickTemporaryFolder,
  startChildServer,
  type ChildServer,
  type ChildServerOptions,
} from './child-server.ts';
export { rcloneAvailable, startRcloneServer, type RcloneServer, type RcloneServerOptions } from './rclone-server.ts';
export { sftpServerMissing, startSftpServer, type SftpServer } from './sftp-server.ts';
export { findAzurite, startAzurite, type AzuriteServer } from './azurite.ts';
export { startSwiftServer, swiftServerMissing, type SwiftServer } from './swift-server.ts';
export { startGcsServer, type GcsServer, type GcsServerOptions } from './gcs/gcs-server.ts';
export { startFaultProxy, type Fault, type FaultProxy, type ProxiedRequest } from './fault-proxy.ts';
export { LaggingStorage } from './lagging-storage.ts';
