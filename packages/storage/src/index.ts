export type {
  FileHandle,
  FileInfo,
  FileType,
  ListOptions,
  LoadOptions,
  OnTransfer,
  SaveOptions,
  Storage,
  StorageCallOptions,
} from './contract.ts';
export {
  cacheSizeBytes,
  FileCache,
  isUnused,
  listCaches,
  removeUnused,
  type CacheFolderInfo,
} from './cache/file-cache.ts';
export { cacheRootOf, openCache, type OpenCacheOptions } from './cache/open-cache.ts';
export { openStorage } from './open-storage.ts';
export type { Environment, OpenStorageOptions } from './open-options.ts';
export { CachedStorage } from './wrappers/cached-storage.ts';
export { GuardedStorage } from './wrappers/guarded-storage.ts';
export { LimitedStorage } from './wrappers/limited-storage.ts';
export { RetryingStorage, type RetryPolicy } from './wrappers/retrying-storage.ts';
export { ThrottledStorage, type TransferRates } from './wrappers/throttled-storage.ts';
export {
  storageChecks,
  validateStorage,
  type StorageCheck,
  type StorageCheckName,
  type ValidateOptions,
} from './validate-storage.ts';
