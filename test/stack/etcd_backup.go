package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// BackupEtcd kills etcd, copies its data and starts it again. restore brings the copy back, once: etcd and the API server are killed
// and started again, and all that was written since the backup is gone, its resourceVersions to be given out anew.
func (k *Kubernetes) BackupEtcd(ctx context.Context) (restore func(context.Context) error, err error) {
	data, backup := k.path("etcd"), k.path("etcd-backup")
	if err := k.Kill("etcd"); err != nil {
		return nil, err
	}
	if err := os.CopyFS(backup, os.DirFS(data)); err != nil {
		return nil, fmt.Errorf("copying etcd's data: %w", err)
	}
	if err := k.Restart(ctx, "etcd"); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		err := errors.Join(k.Kill("kube-apiserver"), k.Kill("etcd"), os.RemoveAll(data), os.Rename(backup, data))
		if err != nil {
			return fmt.Errorf("restoring etcd's data: %w", err)
		}
		if err := k.Restart(ctx, "etcd"); err != nil {
			return err
		}
		return k.Restart(ctx, "kube-apiserver")
	}, nil
}
