// Verify checks a log that was exported as static files (C2SP tlog-tiles) with
// the libraries of the Go checksum database, which know nothing of Hexi.
//
//	verify FOLDER [ORIGIN]
//
// (1) The checkpoint is signed by the key in log.vkey. (2) Its origin is the
// key's name. (3) Every entry hashes to its place in the tiles. (4) Every tile
// has exactly the hashes it should, computed anew from the entries. (5) The
// root over the entries is the checkpoint's. (6) Inclusion and consistency
// proofs, read through the tiles, hold. Any difference ends it with status 1.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// height is fixed by C2SP tlog-tiles; a tile is 1<<height hashes wide.
const height = 8

// hashes keeps every stored hash of the tree, in the order of tlog.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(h)) {
			return nil, fmt.Errorf("hash %d is beyond the tree", index)
		}
		found[i] = h[index]
	}
	return found, nil
}

// folder reads tiles from disk for tlog.TileHashReader.
type folder string

func (folder) Height() int                     { return height }
func (folder) SaveTiles([]tlog.Tile, [][]byte) {}
func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		content, err := f.read(tile)
		if err != nil {
			return nil, err
		}
		data[i] = content
	}
	return data, nil
}

func (f folder) read(tile tlog.Tile) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), path(tile)))
}

// path turns the checksum database's "tile/8/L/N" and "tile/8/data/N" into
// "tile/L/N" and "tile/entries/N".
func path(tile tlog.Tile) string {
	short := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
	return strings.Replace(short, "tile/data/", "tile/entries/", 1)
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: verify FOLDER [ORIGIN]")
		os.Exit(2)
	}
	size, err := verify(folder(os.Args[1]), os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "rejected:", err)
		os.Exit(1)
	}
	fmt.Printf("accepted: %d entries\n", size)
}

func verify(f folder, origin []string) (int64, error) {
	tree, err := checkpoint(f, origin)
	if err != nil {
		return 0, err
	}
	stored, err := entries(f, tree.N)
	if err != nil {
		return 0, err
	}
	for _, tile := range tlog.NewTiles(height, 0, tree.N) {
		want, err := tlog.ReadTileData(tile, stored) // (4)
		if err != nil {
			return 0, err
		}
		got, err := f.read(tile)
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(got, want) {
			return 0, fmt.Errorf("%s differs from its entries", path(tile))
		}
	}
	root, err := tlog.TreeHash(tree.N, stored) // (5)
	if err != nil {
		return 0, err
	}
	if root != tree.Hash {
		return 0, fmt.Errorf("the root over the entries is %v, the checkpoint says %v", root, tree.Hash)
	}
	return tree.N, proofs(f, tree, stored)
}

func checkpoint(f folder, origin []string) (tlog.Tree, error) {
	vkey, err := os.ReadFile(filepath.Join(string(f), "log.vkey"))
	if err != nil {
		return tlog.Tree{}, err
	}
	verifier, err := note.NewVerifier(strings.TrimSuffix(string(vkey), "\n"))
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := os.ReadFile(filepath.Join(string(f), "checkpoint"))
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier)) // (1)
	if err != nil {
		return tlog.Tree{}, err
	}
	name, rest, _ := strings.Cut(opened.Text, "\n")
	if name != verifier.Name() || (len(origin) > 0 && name != origin[0]) { // (2)
		return tlog.Tree{}, fmt.Errorf("this is the log %q", name)
	}
	return parse(rest)
}

// parse reads size and root; tlog.ParseTree would insist on the first line of
// the checksum database.
func parse(text string) (tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 3 {
		return tlog.Tree{}, fmt.Errorf("the checkpoint is too short")
	}
	size, err := strconv.ParseInt(lines[0], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[0] {
		return tlog.Tree{}, fmt.Errorf("%q is not a size", lines[0])
	}
	raw, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil || len(raw) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("%q is not a root", lines[1])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], raw)
	return tree, nil
}

func entries(f folder, size int64) (hashes, error) {
	var stored hashes
	for n := int64(0); n < size; {
		width := min(size-n, 1<<height)
		data, err := f.read(tlog.Tile{H: height, L: -1, N: n >> height, W: int(width)})
		if err != nil {
			return nil, err
		}
		for range width {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return nil, fmt.Errorf("the bundle with entry %d ends early", n)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			more, err := tlog.StoredHashes(n, data[2:end], stored) // (3)
			if err != nil {
				return nil, err
			}
			stored, data, n = append(stored, more...), data[end:], n+1
		}
		if len(data) > 0 {
			return nil, fmt.Errorf("the bundle before entry %d is too long", n)
		}
	}
	return stored, nil
}

// proofs checks every entry's inclusion and some consistency through the tiles.
func proofs(f folder, tree tlog.Tree, stored hashes) error { // (6)
	reader := tlog.TileHashReader(tree, f)
	for n := int64(0); n < tree.N; n++ {
		proof, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return err
		}
		leaf := stored[tlog.StoredHashIndex(0, n)]
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, n, leaf); err != nil {
			return err
		}
	}
	for _, first := range []int64{1, tree.N/2 + 1, tree.N} {
		if first > tree.N {
			continue
		}
		old, err := tlog.TreeHash(first, reader)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, first, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, first, old); err != nil {
			return err
		}
	}
	return nil
}
